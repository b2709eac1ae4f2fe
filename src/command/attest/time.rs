//! When something was verified: said, and never the clock's unasked, so that the same findings make the same bytes.

use std::env;
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::artifact::canonical;
use crate::civil::civil;
use crate::data::chat::Date;
use crate::error::{Error, Kind, Result};

/// The variable that reproducible builds take their time from: seconds since 1970.
const VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

/// A time in UTC, as RFC 3339 and in-toto have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time(String);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Time {
    type Err = Error;

    fn from_str(text: &str) -> Result<Time> {
        if text == "now" {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            return Ok(Time::at(since.min(LAST)));
        }
        let expected = || Error::usage("expected `now`, or a time in UTC as 2026-11-29T10:00:00Z");
        let (date, time) = text.strip_suffix('Z').and_then(|text| text.split_once('T')).ok_or_else(expected)?;
        date.parse::<Date>().map_err(|_| expected())?;
        let (whole, part) = time.split_once('.').map_or((time, "0"), |(whole, part)| (whole, part));
        let numbers: Vec<&str> = whole.split(':').collect();
        let below =
            |text: &str, most: u32| text.len() == 2 && digits(text) && text.parse().is_ok_and(|n: u32| n < most);
        match numbers[..] {
            [hour, minute, second] if below(hour, 24) && below(minute, 60) && below(second, 60) => {}
            _ => return Err(expected()),
        }
        match (1..=9).contains(&part.len()) && digits(part) {
            true => Ok(Time(text.to_owned())),
            false => Err(expected()),
        }
    }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

impl Time {
    /// The one that was given, else the environment's.
    pub fn of(given: Option<&Time>) -> Result<Time> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let Some(seconds) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
            return Err(Error::usage(
                "--time: expected when it was verified: a statement says so, and no clock is asked unasked",
            )
            .hint(format!("--time now, or the same bytes each time: --time 2026-11-29T10:00:00Z, or {VARIABLE}")));
        };
        let parsed = seconds.to_str().and_then(canonical::integer::<u64>).filter(|seconds| *seconds <= LAST);
        let expected = || Error::new(Kind::Usage, format!("{VARIABLE}: expected seconds since 1970, from 0 to {LAST}"));
        parsed.map(Time::at).ok_or_else(expected)
    }

    /// Seconds since 1970.
    fn at(seconds: u64) -> Time {
        Time(civil(seconds) + "Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_as_date_writes_them() {
        // `date -u -d @N +%FT%TZ`
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(Time::at(seconds).to_string(), text);
            assert_eq!(text.parse::<Time>().unwrap(), Time::at(seconds));
        }
        assert!("now".parse::<Time>().unwrap().to_string().as_str() > "2026");
    }

    #[test]
    fn what_is_no_time_in_utc_is_refused() {
        assert!("2026-11-29T10:00:00.5Z".parse::<Time>().is_ok());
        for text in [
            "",
            "Z",
            "2026-11-29",
            "2026-11-29T10:00:00",
            "2026-11-29T10:00:00+01:00",
            "2026-11-29t10:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-11-29T24:00:00Z",
            "2026-11-29T10:60:00Z",
            "2026-11-29T10:00:60Z",
            "2026-11-29T1:00:00Z",
            "2026-11-29T10:00:00.Z",
            "2026-11-29T10:00:00.0123456789Z",
            "2026-11-29T+1:00:00Z",
            "2026-11-29T10:00Z",
            "NOW",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
