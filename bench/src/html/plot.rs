//! A plot in SVG: axes, lines, bars and marks, and a legend.

use std::fmt::Write as _;

use super::axis::Axis;
use super::escape::Escaped;

/// Series that look different from each other: their colours and dashes stand in the style sheet.
pub const SERIES: usize = 6;
/// A series of its own look, for what belongs to none.
pub const NEUTRAL: usize = usize::MAX;
/// Room above and to the right of the plot.
const ABOVE: f64 = 14.0;
const RIGHT: f64 = 30.0;

/// What stands for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A disc.
    Disc,
    /// A cross: it fails.
    Cross,
    /// A ring: nothing is known.
    Ring,
}

/// See the module.
#[derive(Debug)]
pub struct Plot {
    /// What it shows, in a line.
    pub title: String,
    /// What is to be seen, for those who do not see it.
    pub description: String,
    width: f64,
    height: f64,
    left: f64,
    x: Axis,
    y: Axis,
    inside: String,
    legend: Vec<(usize, String, Option<Mark>)>,
}

impl Plot {
    /// An empty one, so wide and so high.
    pub fn new(title: &str, size: [f64; 2], x: Axis, y: Axis) -> Self {
        let longest = y.ticks.iter().map(|(_, word)| word.chars().count()).max().unwrap_or(0);
        let left = 7.2 * longest as f64 + if y.label.is_empty() { 14.0 } else { 34.0 };
        Self {
            title: title.to_owned(),
            description: String::new(),
            width: size[0],
            height: size[1],
            left: left.min(size[0] / 2.0),
            x,
            y,
            inside: String::new(),
            legend: Vec::new(),
        }
    }

    /// Says what is to be seen, for those who do not see it.
    #[must_use]
    pub fn described(mut self, text: String) -> Self {
        self.description = text;
        self
    }

    /// Names a series, or what a mark of it means.
    pub fn name(&mut self, series: usize, name: &str, mark: Option<Mark>) {
        self.legend.push((series, name.to_owned(), mark));
    }

    /// A line through these points.
    pub fn line(&mut self, series: usize, points: &[(f64, f64)]) {
        let mut path = String::new();
        for (place, &(x, y)) in points.iter().enumerate() {
            let letter = if place == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.across(x), self.down(y));
        }
        let class = class(series);
        let _ = write!(self.inside, "<path class=\"line s{class}\" d=\"{path}\"/>");
    }

    /// A mark.
    pub fn mark(&mut self, series: usize, x: f64, y: f64, mark: Mark) {
        let (x, y) = (self.across(x), self.down(y));
        self.inside.push_str(&shape(series, x, y, mark));
    }

    /// A bar that stands on the axis.
    pub fn bar(&mut self, series: usize, x: f64, width: f64, y: f64) {
        if y <= 0.0 {
            return;
        }
        let (left, right) = (self.across(x - width / 2.0), self.across(x + width / 2.0));
        let (top, bottom) = (self.down(y), self.down(self.y.beginning()));
        let _ = write!(
            self.inside,
            "<rect class=\"bar s{}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            class(series),
            (right - left).max(1.0),
            (bottom - top).max(0.0),
        );
    }

    /// A short upright line across a row, with a word beside it: the middle of what lies there.
    pub fn middle(&mut self, series: usize, x: f64, row: f64, word: &str) {
        let (at, class) = (self.across(x), class(series));
        let (top, bottom) = (self.down(row + 0.32), self.down(row - 0.32));
        let is_far = at > self.width - RIGHT - 8.0 * word.chars().count() as f64 - 12.0;
        let (shift, anchor) = if is_far { (-9.0, "end") } else { (9.0, "start") };
        let _ = write!(
            self.inside,
            "<line class=\"middle s{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            at + shift,
            top + 3.0,
            Escaped(word),
        );
    }

    /// A line across, with words: a limit.
    pub fn limit(&mut self, y: f64, words: &str) {
        let (at, end) = (self.down(y), self.width - RIGHT);
        let _ = write!(
            self.inside,
            "<line class=\"limit\" x1=\"{:.1}\" x2=\"{end:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            self.left,
            self.left + 6.0,
            at - 5.0,
            Escaped(words),
        );
    }

    /// An upright line with a word at its top: where something changes.
    pub fn change(&mut self, x: f64, word: &str) {
        let (at, bottom) = (self.across(x), self.height - self.below());
        let _ = write!(
            self.inside,
            "<line class=\"change\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{ABOVE}\" y2=\"{bottom:.1}\"/>\
             <text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            at + 4.0,
            ABOVE + 10.0,
            Escaped(word),
        );
    }

    /// The figure. `id` tells it from the page's others.
    pub fn html(&self, id: usize) -> String {
        let (title, description) = (Escaped(&self.title), Escaped(&self.description));
        let mut out = format!("<figure><figcaption>{title}</figcaption>");
        if !self.legend.is_empty() {
            out.push_str("<ul class=\"legend\">");
            for (series, name, mark) in &self.legend {
                let _ = write!(out, "<li>{}{}</li>", swatch(*series, *mark), Escaped(name));
            }
            out.push_str("</ul>");
        }
        let _ = write!(
            out,
            "<svg viewBox=\"0 0 {} {}\" style=\"max-width:{}px\" role=\"img\" aria-labelledby=\"t{id} d{id}\">\
             <title id=\"t{id}\">{title}</title><desc id=\"d{id}\">{description}</desc>",
            self.width, self.height, self.width,
        );
        self.axes(&mut out);
        out.push_str(&self.inside);
        out.push_str("</svg></figure>");
        out
    }

    fn axes(&self, out: &mut String) {
        let (right, bottom) = (self.width - RIGHT, self.height - self.below());
        let mut free = f64::NEG_INFINITY;
        for (value, word) in &self.x.ticks {
            let at = self.across(*value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{ABOVE}\" y2=\"{bottom:.1}\"/>"
            );
            // Words that would run into the one before are left out.
            let half = 3.6 * word.chars().count() as f64;
            if at - half < free {
                continue;
            }
            free = at + half + 6.0;
            let _ = write!(
                out,
                "<text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                Escaped(word),
            );
        }
        for (value, word) in &self.y.ticks {
            let at = self.down(*value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{:.1}\" x2=\"{right:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                self.left,
                self.left - 7.0,
                at + 4.0,
                Escaped(word),
            );
        }
        let (across, down) = (f64::midpoint(self.left, right), f64::midpoint(ABOVE, bottom));
        let _ = write!(
            out,
            "<path class=\"axis\" d=\"M{0:.1} {ABOVE}V{bottom:.1}H{right:.1}\"/>\
             <text class=\"label\" x=\"{across:.1}\" y=\"{1:.1}\" text-anchor=\"middle\">{2}</text>\
             <text class=\"label\" transform=\"translate(13 {down:.1}) rotate(-90)\" text-anchor=\"middle\">{3}</text>",
            self.left,
            self.height - 8.0,
            Escaped(&self.x.label),
            Escaped(&self.y.label),
        );
    }

    fn across(&self, value: f64) -> f64 {
        self.left + (self.width - RIGHT - self.left) * self.x.share(value)
    }

    /// Room for the lower axis.
    fn below(&self) -> f64 {
        if self.x.label.is_empty() { 26.0 } else { 46.0 }
    }

    fn down(&self, value: f64) -> f64 {
        let bottom = self.height - self.below();
        bottom - (bottom - ABOVE) * self.y.share(value)
    }
}

/// The number of a series' look.
fn class(series: usize) -> usize {
    if series == NEUTRAL { SERIES } else { series % SERIES }
}

fn shape(series: usize, x: f64, y: f64, mark: Mark) -> String {
    let class = class(series);
    match mark {
        Mark::Disc => {
            format!("<circle class=\"disc s{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>")
        }
        Mark::Ring => {
            format!("<circle class=\"ring s{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>")
        }
        Mark::Cross => {
            let [left, right, top, bottom] = [x - 5.0, x + 5.0, y - 5.0, y + 5.0];
            format!(
                "<path class=\"cross s{class}\" d=\"M{left:.1} {top:.1}L{right:.1} {bottom:.1}M{left:.1} {bottom:.1}\
                 L{right:.1} {top:.1}\"/>"
            )
        }
    }
}

fn swatch(series: usize, mark: Option<Mark>) -> String {
    let inside = match mark {
        Some(mark) => shape(series, 13.0, 8.0, mark),
        None => format!("<path class=\"line s{}\" d=\"M1 8H25\"/>", class(series)),
    };
    format!("<svg class=\"swatch\" viewBox=\"0 0 26 16\" aria-hidden=\"true\">{inside}</svg>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        let (x, y) = (Axis::linear("calls", 10.0, 5), Axis::linear("p99, ms", 4.0, 4));
        Plot::new("A <title>", [400.0, 200.0], x, y).described("b & c".into())
    }

    #[test]
    fn it_says_what_it_shows_and_escapes_all_words() {
        let mut plot = plot();
        plot.name(0, "<script>", None);
        plot.limit(3.0, "a < b");
        plot.middle(1, 2.0, 1.0, "\"x\"");
        plot.change(1.0, "<i>");
        let html = plot.html(7);
        assert!(
            html.contains("<title id=\"t7\">A &lt;title&gt;</title>") && html.contains("b &amp; c")
        );
        assert!(html.contains("aria-labelledby=\"t7 d7\"") && html.contains("&lt;script&gt;"));
        assert!(!html.contains("<script") && !html.contains("<i>") && html.contains("a &lt; b"));
    }

    #[test]
    fn values_lie_inside_whatever_they_are() {
        let mut plot = plot();
        for value in [f64::MIN, -1.0, 0.0, 5.0, 1e300] {
            plot.mark(9, value, value, Mark::Disc);
            plot.bar(0, value, 1.0, value);
        }
        plot.line(0, &[(0.0, 0.0), (20.0, 20.0)]);
        let html = plot.html(0);
        for place in html.split("cx=\"").skip(1) {
            let x: f64 = place[..place.find('"').unwrap()].parse().unwrap();
            assert!((0.0..=400.0).contains(&x), "{x}");
        }
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }
}
