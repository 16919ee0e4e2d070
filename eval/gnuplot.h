// gnuplot as a program: found at run time, never needed. In: a script that draws one SVG to standard output.
// Out: the SVG, ready to stand inside an HTML page: no XML header, nothing that names another host, ids of
// its own.
#pragma once

#include <string>

namespace giantrabbit::eval {

// Whether a program "gnuplot" can be run; asked of the system once.
bool has_gnuplot();

// Throws std::runtime_error with gnuplot's own words when it fails. `prefix` (letters and digits) makes the
// ids of this picture different from those of others on the page.
std::string draw_svg(const std::string& script, const std::string& prefix);

// The same as a file of its own, as gnuplot wrote it; `name` is for the error.
std::string draw_svg_file(const std::string& script, const std::string& name);

// The part of draw_svg() that needs no gnuplot.
std::string inline_svg(std::string svg, const std::string& prefix);

}  // namespace giantrabbit::eval
