//! A report as one page: no script, nothing from elsewhere, plots in SVG.
//!
//! [`mod@page`] is what pages are made of, [`plot`] and [`axis`] are a plot; [`calls`], [`rounds`], [`search`] and
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
    /// What the server's workers did in a turn, if it says so.
    fn batch(&self) -> Option<&crate::batch::Batch>;
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

#[cfg(test)]
mod tests {
    use crate::about::{About, Server};
    use crate::batch::{Batch, Size};
    use crate::job::{Outcome, Report, RoundsReport};
    use crate::report::Verdict;
    use crate::report::tests::made;
    use crate::rounds::{Comparison, Round};
    use crate::second::Second;

    const BAD: &str = "<script>\"x\"</script>";

    fn about() -> About {
        let server = Server { name: BAD.into(), version: BAD.into(), settings: BAD.into() };
        About { servers: vec![server], ..About::default() }
    }

    /// Calls whose words a server could have chosen.
    fn calls(latency: u64) -> Box<crate::report::Report> {
        let mut report = made(10, latency, 1);
        report.remarks.push(BAD.into());
        report.calls.failures.insert(BAD.into(), 1);
        report.seconds = vec![Second { at: 1.0, sent: 9.0, missing: 1, ..Second::default() }];
        Box::new(report)
    }

    /// Calls at a node of whose turns three received 5 to 8 packets and one fewer.
    fn batched() -> Box<crate::report::Report> {
        let size = |(least, most, turns)| Size { least, most, turns };
        let sizes = [(0, 4, 1), (5, 8, 3)].map(size).to_vec();
        let batch = Batch { turns: 4, packets: 20, packets_per_turn: 5.0, sizes };
        let mut report = made(10, 900, 0);
        report.server = Some(crate::report::Server { batch: Some(batch), ..Default::default() });
        Box::new(report)
    }

    /// Whether every element that is opened is closed, in order.
    fn assert_sound(html: &str) {
        assert!(!html.contains("<script"), "a script");
        assert!(!html.contains("NaN") && !html.contains("inf "), "a number");
        let body =
            &html[html.find("<body>").expect("a body")..html.find("</html>").expect("an end")];
        let mut open = Vec::new();
        for tag in body.split('<').skip(1) {
            let tag = &tag[..tag.find('>').expect("a tag ends")];
            let name = tag.split([' ', '/']).next().unwrap_or_default();
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed), "closed in order");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn a_run_is_a_sound_page_whatever_its_words() {
        let html = super::page(&Report::One(Outcome::Calls(calls(900))), &about());
        assert_sound(&html);
        assert!(html.contains("LOSSY") && html.contains("One-way latency by percentile"));
        assert!(html.contains("Packets missing") && html.matches("&lt;script&gt;").count() >= 5);
    }

    #[test]
    fn a_comparison_has_all_contestants_on_all_plots() {
        let names: Vec<String> = vec![BAD.into(), "on".into(), "off".into()];
        let rounds = (0..2).flat_map(|number| {
            let round = move |name: &String| Round {
                number,
                contestant: name.clone(),
                outcome: Outcome::Calls(calls(500 + 100 * u64::from(number))),
            };
            names.iter().map(round).collect::<Vec<_>>()
        });
        let comparison = Comparison::of(names.clone(), rounds.collect());
        let report =
            RoundsReport { calls: 10, goal: None, legs: BAD.into(), payload: 80, comparison };
        let html = super::page(&Report::Rounds(report), &about());
        assert_sound(&html);
        // The line of the plot, and that of its legend; likewise what was received by second.
        assert_eq!(html.matches("<path class=\"line s2\"").count(), 4);
        for part in ["Figures", "Each figure, round by round", "Rounds", "What was run"] {
            assert!(html.contains(&format!("<h2>{part}</h2>")), "{part}");
        }
    }

    #[test]
    fn turns_are_bars_of_those_that_tell_them_in_the_colour_of_their_server() {
        let html = super::page(&Report::One(Outcome::Calls(batched())), &about());
        assert_sound(&html);
        assert!(html.contains("Packets received in a turn") && html.contains(">5–8</text>"));
        assert_eq!(html.matches("<rect class=\"bar s0\"").count(), 2);
        let round = |contestant: &str, report| Round {
            number: 0,
            contestant: contestant.into(),
            outcome: Outcome::Calls(report),
        };
        let rounds = vec![round("other", Box::new(made(10, 900, 0))), round("own", batched())];
        let comparison = Comparison::of(vec!["other".into(), "own".into()], rounds);
        let legs = String::new();
        let report = RoundsReport { calls: 10, goal: None, legs, payload: 80, comparison };
        let html = super::page(&Report::Rounds(report), &about());
        assert_eq!(html.matches("<rect class=\"bar s1\"").count(), 2);
    }

    #[test]
    fn a_generator_that_was_too_slow_is_seen_at_once() {
        let mut report = made(10, 900, 5);
        report.verdict = Verdict::Inconclusive;
        report.generator.headroom.is_exceeded = true;
        let html = super::page(&Report::One(Outcome::Calls(Box::new(report))), &about());
        assert!(
            html.contains("class=\"verdict doubt\"><strong>INCONCLUSIVE")
                && html.contains("too slow")
        );
    }
}
