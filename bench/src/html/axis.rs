//! Where values lie on an axis, and what is written beside it.

use crate::rounds::short;

/// An axis of a plot.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it shows, with the unit.
    pub label: String,
    /// Where marks are, with their words.
    pub ticks: Vec<(f64, String)>,
    from: f64,
    to: f64,
    is_log: bool,
}

impl Axis {
    /// Evenly from 0, or from the least if some are below, to a round number that is no less than `most`.
    pub fn linear(label: &str, most: f64, about: usize) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = round_up(most / about.max(1) as f64);
        let count = (most / step - 0.02).ceil().max(1.0) as usize;
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let tick = |place: usize| {
            let value = step * place as f64;
            (value, grouped(&format!("{value:.digits$}")))
        };
        let ticks: Vec<_> = (0..=count).map(tick).collect();
        Self { label: label.to_owned(), ticks, from: 0.0, to: step * count as f64, is_log: false }
    }

    /// By powers, from a round number below `least` to one above `most`.
    pub fn log(label: &str, least: f64, most: f64) -> Self {
        let least = if least.is_finite() && least > 0.0 { least } else { 1.0 };
        let most = if most.is_finite() { most.max(least * 2.0) } else { least * 2.0 };
        let all: Vec<f64> =
            (-9..12).flat_map(|power| [1.0, 2.0, 5.0].map(|one| one * 10f64.powi(power))).collect();
        let first = all.iter().rposition(|tick| *tick <= least * (1.0 + 1e-9)).unwrap_or(0);
        let last =
            all.iter().position(|tick| *tick >= most * (1.0 - 1e-9)).unwrap_or(all.len() - 1);
        let sparse = last - first > 9;
        let is_shown = |place: &usize| !sparse || place.is_multiple_of(3);
        let ticks = (first..=last).filter(is_shown).map(|place| (all[place], plain(all[place])));
        Self {
            label: label.to_owned(),
            ticks: ticks.collect(),
            from: all[first],
            to: all[last],
            is_log: true,
        }
    }

    /// Shares by how rare what is beyond them is: 0 %, 90 %, 99 % and so on at equal distances.
    pub fn percentiles(label: &str, most: f64) -> Self {
        let nines = (rarity(most) + 0.1).clamp(2.0, 7.0);
        let mut ticks = vec![(0.0, "0 %".to_owned()), (rarity(0.5), "50 %".to_owned())];
        ticks.extend((1..=nines as usize).map(|nine| {
            let digits = nine.saturating_sub(2);
            (nine as f64, format!("{:.digits$} %", 100.0 - 10f64.powf(2.0 - nine as f64)))
        }));
        Self { label: label.to_owned(), ticks, from: 0.0, to: nines, is_log: false }
    }

    /// One row for each name, the first on top of a vertical axis.
    pub fn names(names: &[String]) -> Self {
        let last = names.len().saturating_sub(1);
        let tick = |(place, name): (usize, &String)| ((last - place) as f64, name.clone());
        let ticks = names.iter().enumerate().map(tick).collect();
        Self { label: String::new(), ticks, from: -0.6, to: last as f64 + 0.6, is_log: false }
    }

    /// One column for each name, from 0 on along a horizontal axis.
    pub fn columns(label: &str, names: &[String]) -> Self {
        let ticks = names.iter().enumerate().map(|(place, name)| (place as f64, name.clone()));
        let to = names.len() as f64 - 0.4;
        Self { label: label.to_owned(), ticks: ticks.collect(), from: -0.6, to, is_log: false }
    }

    /// Where `value` is: 0 at the beginning of the axis, 1 at its end.
    pub fn share(&self, value: f64) -> f64 {
        let value = value.clamp(self.from.min(self.to), self.to);
        if self.is_log {
            (value / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        }
    }

    /// Its end.
    pub fn end(&self) -> f64 {
        self.to
    }

    /// Its beginning.
    pub fn beginning(&self) -> f64 {
        self.from
    }
}

/// How many nines a share has: 1 for 90 %, 2 for 99 %.
pub fn rarity(share: f64) -> f64 {
    -(1.0 - share).max(1e-12).log10()
}

/// A number for people: with as many digits as say something, in groups of three.
pub fn number(value: f64) -> String {
    grouped(&short(value))
}

/// A whole number in groups of three.
pub fn whole(value: u64) -> String {
    grouped(&value.to_string())
}

fn plain(value: f64) -> String {
    let digits = (-value.log10().floor()).max(0.0) as usize;
    grouped(&format!("{value:.digits$}"))
}

/// Digits before the point in groups of three, from five digits on.
fn grouped(number: &str) -> String {
    let (sign, number) = number.split_at(usize::from(number.starts_with('-')));
    let (before, behind) = number.find('.').map_or((number, ""), |point| number.split_at(point));
    if before.len() < 5 {
        return format!("{sign}{before}{behind}");
    }
    let mut out = String::new();
    for (place, digit) in before.chars().enumerate() {
        if place > 0 && (before.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    format!("{sign}{out}{behind}")
}

/// 1, 2 or 5 times a power of ten, no less than this.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let one = [1.0, 2.0, 5.0, 10.0].into_iter().find(|one| one * power >= value * (1.0 - 1e-9));
    one.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, word)| word.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_what_there_is() {
        assert_eq!(words(&Axis::linear("", 17.0, 4)), ["0", "5", "10", "15", "20"]);
        assert_eq!(words(&Axis::linear("", 0.9, 5)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(words(&Axis::linear("", 0.0, 1)), ["0", "1"]);
        assert_eq!(words(&Axis::linear("", 40_000.0, 2)), ["0", "20\u{202f}000", "40\u{202f}000"]);
        assert_eq!(words(&Axis::log("", 30.0, 700.0)), ["20", "50", "100", "200", "500", "1000"]);
        assert_eq!(words(&Axis::log("", 0.0, f64::NAN)), ["1", "2"]);
        let percentiles = Axis::percentiles("", 0.9995);
        assert_eq!(words(&percentiles), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn values_lie_between_the_ends() {
        let axis = Axis::log("", 10.0, 1000.0);
        assert!((axis.share(100.0) - 0.5).abs() < 1e-9);
        assert_eq!((axis.share(1.0), axis.share(1e9)), (0.0, 1.0));
        let percentiles = Axis::percentiles("", 0.999);
        assert!((percentiles.share(rarity(0.99)) - 2.0 / 3.1).abs() < 1e-9);
        let names = Axis::names(&["a".into(), "b".into()]);
        assert!(names.share(1.0) > names.share(0.0) && names.ticks[0] == (1.0, "a".into()));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(whole(1234), "1234");
        assert_eq!(whole(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(-12_345.6), "-12\u{202f}346");
    }
}
