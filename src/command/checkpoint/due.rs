//! When a checkpoint is due.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// So many times as long as writing a checkpoint took there is no other by the clock: writing takes less than two percent.
const REST: u32 = 50;

/// From checkpoint to checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// So many inner steps.
    Steps(u32),
    /// At least so long.
    Time(Duration),
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Every, String> {
        let expected = || "expected a number of steps, as 50, or a time, as 30s, 5min or 1h".to_owned();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number = number.parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(expected)?;
        let seconds = match unit {
            "" => return Ok(Every::Steps(number)),
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            _ => return Err(expected()),
        };
        Ok(Every::Time(Duration::from_secs(u64::from(number) * seconds)))
    }
}

/// The last checkpoint, or the start.
pub struct Since {
    step: u32,
    at: Instant,
    rest: Duration,
}

impl Since {
    /// From this step on, now.
    pub fn begin(step: u32) -> Since {
        Since { step, at: Instant::now(), rest: Duration::ZERO }
    }

    /// From a checkpoint on that was begun then.
    pub fn written(step: u32, begun: Instant) -> Since {
        let rest = begun.elapsed() * REST;
        Since { rest, ..Since::begin(step) }
    }
}

impl Every {
    /// Whether one is due after this step.
    pub fn is_due(self, step: u32, since: &Since) -> bool {
        match self {
            Every::Steps(steps) => step - since.step >= steps,
            Every::Time(time) => since.at.elapsed() >= time.max(since.rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_steps_and_a_unit_makes_it_a_time() {
        let time = |seconds| Ok(Every::Time(Duration::from_secs(seconds)));
        for (text, every) in [
            ("50", Ok(Every::Steps(50))),
            ("30s", time(30)),
            ("5min", time(300)),
            ("5m", time(300)),
            ("1h", time(3600)),
        ] {
            assert_eq!(text.parse::<Every>(), every, "{text}");
        }
        for text in ["", "0", "0s", "5 min", "-1", "1.5h", "min", "5d", "99999999999"] {
            assert!(text.parse::<Every>().is_err(), "{text}");
        }
    }

    #[test]
    fn writing_that_takes_long_is_followed_by_a_rest() {
        let now = Instant::now();
        assert!(Every::Steps(3).is_due(7, &Since::begin(4)) && !Every::Steps(3).is_due(6, &Since::begin(4)));
        assert!(Every::Time(Duration::ZERO).is_due(1, &Since::begin(0)));
        let Some(hour_ago) = now.checked_sub(Duration::from_secs(3600)) else { return };
        assert!(!Every::Time(Duration::ZERO).is_due(1, &Since::written(0, hour_ago)));
    }
}
