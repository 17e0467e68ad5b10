//! A report as one page: no script, nothing from elsewhere, plots in SVG.
//!
//! [`page`] is what pages are made of, [`plot`] and [`axis`] are a plot; [`calls`], [`rounds`], [`search`] and
//! [`turn`] say what each kind of report shows. All text goes through [`escape`].

pub mod axis;
pub mod calls;
pub mod escape;
pub mod figures;
pub mod page;
pub mod plot;
pub mod rounds;
pub mod search;
pub mod turn;

use crate::about::About;
use crate::rounds::Outcome;
use crate::search::SearchReport;
use page::Page;

/// A report that can be put on a page.
pub trait Show {
    /// What it is about, in a line.
    fn title(&self) -> String;

    /// Puts it there.
    fn show(&self, page: &mut Page);
}

/// What came of one server's round, as plots need it.
pub trait Drawn: Outcome {
    /// How latencies are spread.
    fn latency(&self) -> Option<&crate::curve::Curve>;
    /// How it went.
    fn seconds(&self) -> &[crate::second::Second];
    /// The search, if it was one.
    fn search(&self) -> Option<&SearchReport>;
}

/// The page of a report.
pub fn page(report: &impl Show, about: &About) -> String {
    let mut page = Page::new(&report.title(), about);
    report.show(&mut page);
    page.about(about);
    page.finish()
}
