//! What pages are made of.

use std::fmt::Write as _;

use super::escape::Escaped;
use super::plot::Plot;
use crate::about::About;
use crate::report::Verdict;

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    html: String,
    plots: usize,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// A number or a word, to the right.
    Value(String),
    /// The same, and more in small print below.
    Spread(String, String),
    /// Words that may take lines, to the left.
    Words(String),
}

/// One of the figures that a reader looks for first.
#[derive(Debug, Clone)]
pub struct Tile {
    /// What it is.
    pub what: String,
    /// How much.
    pub much: String,
    /// What more there is to say.
    pub more: String,
}

impl Tile {
    /// One.
    pub fn new(what: &str, much: String, more: String) -> Self {
        Self { what: what.to_owned(), much, more }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Value(text)
    }
}

impl Page {
    /// One with this title.
    pub fn new(title: &str, about: &About) -> Self {
        let mut page = Self { html: String::with_capacity(64 << 10), plots: 0 };
        let _ = write!(
            page.html,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"generator\" content=\"causeway-load {0}\"><title>{1}</title>\n<style>\n{2}</style></head>\n\
             <body><header><h1>{1}</h1><p class=\"soft\">causeway-load {0}, {3}</p></header>\n<main>\n",
            Escaped(about.version),
            Escaped(title),
            include_str!("style.css"),
            Escaped(&about.began),
        );
        page
    }

    /// The beginning of a part.
    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.html, "<h2>{}</h2>", Escaped(text));
    }

    /// The beginning of a part's part.
    pub fn subheading(&mut self, text: &str) {
        let _ = writeln!(self.html, "<h3>{}</h3>", Escaped(text));
    }

    /// Words.
    pub fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.html, "<p>{}</p>", Escaped(text));
    }

    /// Words that explain.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.html, "<p class=\"soft\">{}</p>", Escaped(text));
    }

    /// What to make of it.
    pub fn verdict(&mut self, verdict: Verdict, words: &str) {
        let class = match verdict {
            Verdict::Clean => "good",
            Verdict::Inconclusive => "doubt",
            Verdict::Lossy | Verdict::Corrupt | Verdict::Failed => "bad",
        };
        let _ = writeln!(
            self.html,
            "<p class=\"verdict {class}\"><strong>{verdict}</strong> {}</p>",
            Escaped(words)
        );
    }

    /// What else a reader has to know.
    pub fn remarks(&mut self, remarks: &[String]) {
        if remarks.is_empty() {
            return;
        }
        self.html.push_str("<ul class=\"remarks\">");
        for remark in remarks {
            let _ = write!(self.html, "<li>{}</li>", Escaped(remark));
        }
        self.html.push_str("</ul>\n");
    }

    /// Figures that a reader looks for first.
    pub fn tiles(&mut self, tiles: &[Tile]) {
        self.html.push_str("<div class=\"tiles\">");
        for Tile { what, much, more } in tiles {
            let _ = write!(
                self.html,
                "<div class=\"tile\"><div class=\"what\">{}</div><div class=\"much\">{}</div>\
                 <div class=\"more\">{}</div></div>",
                Escaped(what),
                Escaped(much),
                Escaped(more)
            );
        }
        self.html.push_str("</div>\n");
    }

    /// A table of what each thing amounts to.
    pub fn values<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, String)>) {
        let row = |(name, value): (&str, _)| vec![Cell::Value(name.to_owned()), Cell::Value(value)];
        let rows: Vec<_> = values.into_iter().map(row).collect();
        self.table("", &["", ""], &rows);
    }

    /// A table. The first cell of a row is its name.
    pub fn table(&mut self, caption: &str, head: &[&str], rows: &[Vec<Cell>]) {
        let _ = write!(
            self.html,
            "<div class=\"scroll\"><table><caption>{}</caption><thead><tr>",
            Escaped(caption)
        );
        for (place, name) in head.iter().enumerate() {
            let is_words = rows.iter().any(|row| matches!(row.get(place), Some(Cell::Words(_))));
            let class = if is_words { " class=\"words\"" } else { "" };
            let _ = write!(self.html, "<th scope=\"col\"{class}>{}</th>", Escaped(name));
        }
        self.html.push_str("</tr></thead><tbody>");
        for row in rows {
            self.html.push_str("<tr>");
            for (place, cell) in row.iter().enumerate() {
                let (open, close) =
                    if place == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
                let _ = match cell {
                    Cell::Value(text) => write!(self.html, "<{open}>{}</{close}>", Escaped(text)),
                    Cell::Words(text) => {
                        write!(self.html, "<{open} class=\"words\">{}</{close}>", Escaped(text))
                    }
                    Cell::Spread(text, small) => {
                        write!(
                            self.html,
                            "<{open}>{}<small>{}</small></{close}>",
                            Escaped(text),
                            Escaped(small)
                        )
                    }
                };
            }
            self.html.push_str("</tr>");
        }
        self.html.push_str("</tbody></table></div>\n");
    }

    /// A plot.
    pub fn plot(&mut self, plot: &Plot) {
        self.plots += 1;
        self.html.push_str(&plot.html(self.plots));
        self.html.push('\n');
    }

    /// Small plots beside each other.
    pub fn plots(&mut self, plots: &[Plot]) {
        self.html.push_str("<div class=\"grid2\">");
        plots.iter().for_each(|plot| self.plot(plot));
        self.html.push_str("</div>\n");
    }

    /// What was run, and where.
    pub fn about(&mut self, about: &About) {
        self.heading("What was run");
        let _ = writeln!(self.html, "<pre>{}</pre>", Escaped(&about.command));
        let host = &about.host;
        let kind = if host.is_virtual {
            "virtual machine"
        } else {
            "no virtual machine, as far as the CPU says"
        };
        let mut facts = vec![
            ("CPU".to_owned(), format!("{}, {} cores, {kind}", host.cpu, host.cores)),
            ("kernel".to_owned(), format!("Linux {}", host.kernel)),
            ("clock source".to_owned(), host.clock_source.clone()),
            ("load average".to_owned(), format!("{:.2} at the start", host.load)),
        ];
        facts.extend(about.servers.iter().map(|server| {
            let settings = if server.settings.is_empty() {
                String::new()
            } else {
                format!(" ({})", server.settings)
            };
            (server.name.clone(), format!("{}{settings}", server.version))
        }));
        self.html.push_str("<dl>");
        for (name, value) in facts {
            let _ = write!(self.html, "<dt>{}</dt><dd>{}</dd>", Escaped(&name), Escaped(&value));
        }
        self.html.push_str("</dl>\n");
    }

    /// The page.
    pub fn finish(mut self) -> String {
        self.html.push_str("</main></body></html>\n");
        self.html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_put_on_a_page_is_text() {
        let bad = "<script>alert(1)</script>";
        let about = About { command: bad.into(), began: bad.into(), ..About::default() };
        let mut page = Page::new(bad, &about);
        page.heading(bad);
        page.subheading(bad);
        page.paragraph(bad);
        page.note(bad);
        page.verdict(Verdict::Clean, bad);
        page.remarks(&[bad.into()]);
        page.tiles(&[Tile::new(bad, bad.into(), bad.into())]);
        let cells = vec![
            Cell::Value(bad.into()),
            Cell::Spread(bad.into(), bad.into()),
            Cell::Words(bad.into()),
        ];
        page.table(bad, &[bad, bad, bad], &[cells]);
        page.about(&about);
        let html = page.finish();
        assert!(!html.contains("<script") && html.matches("&lt;script&gt;").count() >= 18);
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let html = Page::new("t", &About::default()).finish();
        for word in ["http:", "https:", "url(", "@import", "<link", "<script", "src="] {
            assert!(!html.contains(word), "{word}");
        }
        assert!(html.contains("prefers-color-scheme: dark") && html.contains("@media print"));
    }
}
