// gnuplot as a program: found at run time, never needed. In: a script that draws one SVG to standard output.
// Out: the SVG, a file of its own or ready to stand inside an HTML page: no XML header, nothing that names
// another host, ids of its own.
#pragma once

#include <string>

namespace giantrabbit::eval {

// Whether a program "gnuplot" can be run; asked of the system once.
bool has_gnuplot();

// The SVG as gnuplot draws it, for a file. Throws std::runtime_error with gnuplot's own words when it fails.
std::string draw_svg_file(const std::string& script);

// The same for a page. `prefix` (letters and digits) makes the ids of this picture different from those of
// others on the page.
std::string draw_svg(const std::string& script, const std::string& prefix);

// The part of draw_svg() that needs no gnuplot.
std::string inline_svg(std::string svg, const std::string& prefix);

}  // namespace giantrabbit::eval
