//! The time axis: from times to places on the page, with ticks at round times of the clock.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::Serialize;

use crate::report::words::duration;

/// Distances of ticks, seconds.
const STEPS: [i64; 17] =
    [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800];
/// Most ticks on an axis.
const TICKS: i64 = 9;

/// From a time to a time, in a zone.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    from: Timestamp,
    to: Timestamp,
    zone: TimeZone,
}

/// A tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Tick {
    /// Its place, percent.
    pub x: String,
    /// The time, or the time since the beginning.
    pub label: String,
    /// ` first` or ` last` if the label would run over an end.
    pub edge: &'static str,
}

impl Axis {
    /// Never of no length.
    pub(super) fn new(from: Timestamp, to: Timestamp, zone: &TimeZone) -> Self {
        let least = from.saturating_add(SignedDuration::from_secs(1)).unwrap_or(from);
        Self { from, to: to.max(least), zone: zone.clone() }
    }

    /// Its beginning and its end.
    pub(super) fn ends(&self) -> (Timestamp, Timestamp) {
        (self.from, self.to)
    }

    fn seconds(&self) -> f64 {
        self.to.duration_since(self.from).as_secs_f64()
    }

    /// A time's place, from 0 to 100.
    pub(super) fn place(&self, at: Timestamp) -> f64 {
        let since = at.duration_since(self.from).as_secs_f64();
        (since / self.seconds() * 100.0).clamp(0.0, 100.0)
    }

    /// `22:01:24`.
    pub(super) fn clock(&self, at: Timestamp) -> String {
        self.local(at).strftime("%H:%M:%S").to_string()
    }

    /// `22:01`, or with the date if that isn't the beginning's.
    pub(super) fn minute(&self, at: Timestamp) -> String {
        let format = if self.local(at).date() == self.local(self.from).date() { "%H:%M" } else { "%a %H:%M" };
        self.local(at).strftime(format).to_string()
    }

    /// `Saturday, 10 January 2026`.
    pub(super) fn date(&self, at: Timestamp) -> String {
        self.local(at).strftime("%A, %-d %B %Y").to_string()
    }

    /// `UTC`, or `Europe/Berlin (UTC+01:00)`.
    pub(super) fn zone(&self) -> String {
        let here = self.local(self.from);
        match self.zone.iana_name() {
            None | Some("UTC" | "Etc/UTC") if here.offset().is_zero() => "UTC".to_owned(),
            name => {
                let offset = here.strftime("UTC%:z").to_string();
                name.map_or(offset.clone(), |name| format!("{name} ({offset})"))
            }
        }
    }

    fn local(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.zone.clone())
    }

    /// Ticks at round times.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let step = self.step();
        let offset = i64::from(self.local(self.from).offset().seconds());
        let mut second = (self.from.as_second() + offset).div_euclid(step) * step - offset;
        let mut ticks = Vec::new();
        while second <= self.to.as_second() {
            if let Ok(at) = Timestamp::from_second(second)
                && at >= self.from
            {
                ticks.push(self.tick(at, step));
            }
            second += step;
        }
        ticks
    }

    /// Ticks at round times since the beginning.
    pub(super) fn elapsed(&self) -> Vec<Tick> {
        let length = self.to.duration_since(self.from).as_secs();
        let seconds = (0..=length).step_by(usize::try_from(self.step()).unwrap_or(usize::MAX));
        let tick = |second: i64| {
            let place =
                self.place(self.from.saturating_add(SignedDuration::from_secs(second)).unwrap_or(self.to));
            let label = if second == 0 { "0".to_owned() } else { format!("+{}", brief(second)) };
            Tick { x: percent(place), label, edge: edge(place) }
        };
        seconds.map(tick).collect()
    }

    fn step(&self) -> i64 {
        let length = self.to.duration_since(self.from).as_secs();
        let step = STEPS.into_iter().find(|s| length / s <= TICKS);
        step.unwrap_or(604_800 * (length / 604_800 / TICKS + 1))
    }

    fn tick(&self, at: Timestamp, step: i64) -> Tick {
        let here = self.local(at);
        let format = match step {
            0..60 => "%H:%M:%S",
            60..86_400 if here.hour() == 0 && here.minute() == 0 => "%a %-d %b",
            60..86_400 => "%H:%M",
            _ => "%-d %b",
        };
        let place = self.place(at);
        Tick { x: percent(place), label: here.strftime(format).to_string(), edge: edge(place) }
    }
}

/// Whether a label would run over an end of the axis.
fn edge(place: f64) -> &'static str {
    match place {
        ..3.0 => " first",
        96.0.. => " last",
        _ => "",
    }
}

/// A duration without seconds where there are hours or full minutes.
fn brief(seconds: i64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, 0) => format!("{minutes}m"),
        (hours, 0, _) if hours > 0 => format!("{hours}h"),
        _ => duration(seconds),
    }
}

/// A place as SVG writes it.
pub(super) fn percent(place: f64) -> String {
    let text = format!("{place:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(from: &str, to: &str, zone: &str) -> Axis {
        let at = |text: &str| text.parse().expect("a time");
        Axis::new(at(from), at(to), &TimeZone::get(zone).expect("a zone"))
    }

    #[test]
    fn ticks_stand_at_round_times_of_the_zone() {
        // Kathmandu is 5 h 45 m ahead of UTC: full hours there are none here.
        let axis = axis("2026-01-10T00:00:00Z", "2026-01-10T04:00:00Z", "Asia/Kathmandu");
        let ticks: Vec<String> = axis.ticks().into_iter().map(|t| format!("{} {}", t.label, t.x)).collect();
        assert_eq!(ticks[..3], ["06:00 6.25%", "06:30 18.75%", "07:00 31.25%"]);
        let elapsed: Vec<String> =
            axis.elapsed().into_iter().map(|t| format!("{} {}", t.label, t.x)).collect();
        assert_eq!(elapsed[..4], ["0 0%", "+30m 12.5%", "+1h 25%", "+1h 30m 37.5%"]);
        assert_eq!(axis.zone(), "Asia/Kathmandu (UTC+05:45)");
    }

    #[test]
    fn places_stay_on_the_axis_and_one_moment_has_a_length() {
        let axis = axis("2026-01-10T00:00:00Z", "2026-01-10T00:00:00Z", "UTC");
        assert_eq!(percent(axis.place("2026-01-09T00:00:00Z".parse().expect("a time"))), "0%");
        assert_eq!(percent(axis.place("2026-01-11T00:00:00Z".parse().expect("a time"))), "100%");
        assert_eq!((axis.zone().as_str(), percent(12.3456)), ("UTC", "12.35%".to_owned()));
    }
}
