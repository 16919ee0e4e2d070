// Report -> one HTML page that needs neither network nor scripts. Plots shrink with the screen, wide tables
// and pictures scroll inside their own box: the page itself never becomes wider than the screen; colours
// follow the reader's light or dark setting, plots keep their white ground.
#include <fmt/format.h>

#include "eval/gnuplot.h"
#include "eval/report.h"

namespace giantrabbit::eval {
namespace {

constexpr const char* page_head = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>GiantRabbit comparison</title>
<style>
:root{color-scheme:light dark;--text:#1d2530;--soft:#5a6572;--line:#d8dde3;--strong:#8a95a1;--page:#fff;--card:#f5f7f9}
@media (prefers-color-scheme:dark){:root{--text:#e4e8ec;--soft:#a3adb8;--line:#39424c;--strong:#6b7681;--page:#14181d;--card:#1d232a}}
*{box-sizing:border-box}
body{font:16px/1.55 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem;color:var(--text);background:var(--page);overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:2.5rem 0 .75rem;padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.75rem 0 .4rem}
p{margin:.4rem 0;color:var(--soft);font-size:.9rem}
ul{padding-left:1.2rem;margin:.5rem 0}li{margin:.35rem 0}
nav a{color:inherit;margin-right:1rem}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:6px;background:var(--card)}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:.3rem .75rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
th{font-weight:600;border-bottom:2px solid var(--strong)}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,32rem),1fr));gap:1.25rem}
figure{margin:0;min-width:0}
figure .scroll{background:#fff}
figure svg{display:block;width:100%;height:auto}
figure.picture{margin-top:1.25rem}
figcaption{font-size:.9rem;color:var(--soft);margin-top:.35rem}
figcaption b{color:var(--text)}
@media (max-width:40rem){body{font-size:15px;padding:1rem .75rem 3rem}th,td{padding:.25rem .5rem}th{white-space:normal}}
</style>
</head>
<body>
)";

std::string caption(const std::string& title, const std::string& note) {
  return fmt::format("<figcaption><b>{}.</b> {}</figcaption>", escape_html(title), escape_html(note));
}

std::string plots_html(const Report& report) {
  if (!has_gnuplot()) {
    return "<p>gnuplot was not found when this page was written, so it has tables only.</p>\n";
  }
  std::string html = "<div class=\"plots\">\n";
  int number = 0;
  for (const Plot& plot : plots(report)) {
    html += fmt::format("<figure><div class=\"scroll\">{}</div>{}</figure>\n",
                        draw_svg(gnuplot_script(plot), fmt::format("p{}", ++number)),
                        caption(plot.title, plot.note));
  }
  html += "</div>\n";
  for (const HeatMap& map : report.pictures) {
    // A picture with a label per word is as wide as its words need, whatever the screen.
    const std::string svg = draw_svg(gnuplot_script(map), fmt::format("p{}", ++number));
    html += fmt::format(
        "<figure class=\"picture\"><div class=\"scroll\"><div "
        "style=\"min-width:{}px\">{}</div></div>{}</figure>\n",
        picture_width(map), svg, caption(map.title, map.note));
  }
  return html;
}

std::string list_html(const std::vector<std::string>& lines) {
  std::string html = "<ul>\n";
  for (const std::string& line : lines) html += fmt::format("<li>{}</li>\n", escape_html(line));
  return html + "</ul>\n";
}

}  // namespace

std::string report_html(const Report& report) {
  std::string html = page_head;
  html += fmt::format(
      "<h1>GiantRabbit comparison</h1>\n<p>Judged on {}, greedy decoding, decoder weights in {}. {}, {} "
      "thread{}, {}.</p>\n",
      escape_html(report.items), report.weights, escape_html(report.machine.cpu), report.machine.threads,
      report.machine.threads == 1 ? "" : "s", escape_html(report.machine.library));
  html +=
      "<nav><a href=\"#conclusions\">Conclusions</a><a href=\"#plots\">Plots</a><a "
      "href=\"#tables\">Tables</a></nav>\n";
  html += "<h2 id=\"conclusions\">What the figures allow to conclude</h2>\n";
  const std::vector<std::string> lines = sentences(report);
  html += lines.empty() ? "<p>One run alone allows no comparison.</p>\n" : list_html(lines);
  html += "<h2 id=\"plots\">Plots</h2>\n" + plots_html(report);
  html += "<h2 id=\"tables\">Tables</h2>\n";
  for (const Table& table : tables(report)) html += to_html(table);
  return html + "</body>\n</html>\n";
}

}  // namespace giantrabbit::eval
