//! The one date that a template may print: given, never the clock's, so that the same corpus makes the same shards.

use std::str::FromStr;

use crate::error::Error;

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    year: i32,
    month: u32,
    day: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn days_in(year: i32, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for Date {
    type Err = Error;

    /// As 2025-03-09.
    fn from_str(text: &str) -> Result<Date, Error> {
        let parts: Vec<&str> = text.split('-').collect();
        let digits = |part: &&str, n: usize| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
        if let [year, month, day] = parts[..]
            && digits(&year, 4)
            && digits(&month, 2)
            && digits(&day, 2)
            && let (Ok(year), Ok(month), Ok(day)) = (year.parse::<i32>(), month.parse(), day.parse())
            && year > 0
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
        {
            return Ok(Date { year, month, day });
        }
        Err(Error::usage(format!("expected a date as 2025-03-09, found {text:?}")))
    }
}

impl Date {
    fn of_year(self) -> u32 {
        (1..self.month).map(|month| days_in(self.year, month)).sum::<u32>() + self.day
    }

    /// Days since Sunday (Sakamoto's method).
    fn weekday(self) -> usize {
        const SHIFT: [i32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = if self.month < 3 { self.year - 1 } else { self.year };
        let days = year + year / 4 - year / 100 + year / 400 + SHIFT[self.month as usize - 1] + self.day as i32;
        days.rem_euclid(7) as usize
    }

    /// strftime in the C locale, at midnight; `None` for a directive that says something else than a date or a time of day.
    pub fn format(self, format: &str) -> Option<String> {
        let (month, weekday) = (MONTHS[self.month as usize - 1], DAYS[self.weekday()]);
        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let mut directive = chars.next()?;
            // As glibc has it: without leading zeros.
            let bare = directive == '-';
            if bare {
                directive = chars.next()?;
            }
            let part = match directive {
                'd' => format!("{:02}", self.day),
                'e' => format!("{:2}", self.day),
                'm' => format!("{:02}", self.month),
                'Y' => self.year.to_string(),
                'y' => format!("{:02}", self.year % 100),
                'B' => month.to_owned(),
                'b' | 'h' => month[..3].to_owned(),
                'A' => weekday.to_owned(),
                'a' => weekday[..3].to_owned(),
                'j' => format!("{:03}", self.of_year()),
                'F' => format!("{:04}-{:02}-{:02}", self.year, self.month, self.day),
                'D' | 'x' => format!("{:02}/{:02}/{:02}", self.month, self.day, self.year % 100),
                'H' | 'M' | 'S' => "00".to_owned(),
                'I' => "12".to_owned(),
                'p' => "AM".to_owned(),
                'T' | 'X' => "00:00:00".to_owned(),
                'R' => "00:00".to_owned(),
                '%' => "%".to_owned(),
                'n' => "\n".to_owned(),
                't' => "\t".to_owned(),
                _ => return None,
            };
            let trimmed = part.trim_start_matches(['0', ' ']);
            text.push_str(match (bare, trimmed) {
                (false, _) => &part,
                (true, "") => "0",
                (true, trimmed) => trimmed,
            });
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_strftime_writes_them() {
        let date: Date = "2025-03-09".parse().unwrap();
        let cases = [
            ("%d %b %Y", "09 Mar 2025"),
            ("%d %B %Y", "09 March 2025"),
            ("%Y-%m-%d", "2025-03-09"),
            ("%A, %-d.%-m.%y day %j", "Sunday, 9.3.25 day 068"),
            ("%H:%M:%S 100%%", "00:00:00 100%"),
        ];
        for (format, text) in cases {
            assert_eq!(date.format(format).as_deref(), Some(text));
        }
        assert_eq!(date.format("%Z"), None);
        assert_eq!(date.format("%"), None);
        for (day, name) in [("2024-02-29", "Thursday"), ("2000-01-01", "Saturday"), ("1970-01-01", "Thursday")] {
            assert_eq!(day.parse::<Date>().unwrap().format("%A").as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "2025-2-01", "2025-02-29", "2025-13-01", "0000-01-01", "2025-01-00", "+025-01-01", "25-01-01"]
        {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }
}
