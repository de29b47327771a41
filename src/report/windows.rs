//! When the plan's windows are open.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::course::Interval;
use crate::plan::v1alpha1::Window;

/// Windows of one expression that are shown.
const SHOWN: usize = 50;

/// The windows that are open at some moment between two times, in the order of their opening.
pub(super) fn open(windows: &[Window], from: Timestamp, to: Timestamp) -> Vec<Interval> {
    let mut open: Vec<Interval> = windows.iter().flat_map(|w| of_one(w, from, to)).collect();
    open.sort_by_key(|w| (w.started_at, w.finished_at));
    open
}

fn of_one(window: &Window, from: Timestamp, to: Timestamp) -> Vec<Interval> {
    // The plan's check has refused what can't be read here.
    let Ok(cron) = window.cron.parse::<croner::Cron>() else { return Vec::new() };
    let zone = window.time_zone.as_deref().unwrap_or("UTC");
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let length = window.duration.signed();
    // One that opened before `from` may still be open.
    let mut at = from.saturating_sub(length).unwrap_or(Timestamp::MIN);
    let mut open = Vec::new();
    while open.len() < SHOWN {
        let Ok(next) = cron.find_next_occurrence(&at.to_zoned(zone.clone()), false) else { break };
        at = next.timestamp();
        if at >= to {
            break;
        }
        let finished_at = at.saturating_add(length).unwrap_or(Timestamp::MAX);
        open.push(Interval { started_at: at, finished_at });
        at = at.saturating_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
    }
    open.retain(|w| w.finished_at > from);
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::v1alpha1::Duration;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_window_that_opened_before_and_one_that_opens_in_between_are_found() {
        let nightly = Window {
            cron: "0 22 * * *".to_owned(),
            duration: Duration::from_secs(6 * 3600),
            time_zone: Some("Europe/Berlin".to_owned()),
        };
        // In winter, Berlin is an hour ahead of UTC.
        let open = open(&[nightly], at("2026-01-10T01:00:00Z"), at("2026-01-11T00:00:00Z"));
        let expected = [
            ("2026-01-09T21:00:00Z", "2026-01-10T03:00:00Z"),
            ("2026-01-10T21:00:00Z", "2026-01-11T03:00:00Z"),
        ];
        let expected = expected.map(|(a, b)| Interval { started_at: at(a), finished_at: at(b) });
        assert_eq!(open, expected);
    }

    #[test]
    fn one_that_has_closed_is_left_out() {
        let early =
            Window { cron: "0 2 * * *".to_owned(), duration: Duration::from_secs(3600), time_zone: None };
        assert_eq!(open(&[early], at("2026-01-10T03:00:00Z"), at("2026-01-10T20:00:00Z")), []);
    }
}
