//! Seconds since 1970 as calendars have them.

/// Civil time of a proleptic Gregorian calendar, UTC, as `2026-01-31T23:59:59` (Howard Hinnant's `civil_from_days`).
pub fn civil(unix: u64) -> String {
    let (days, seconds) = (unix / 86_400 + 719_468, unix % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_times_are_written_as_calendars_have_them() {
        assert_eq!(super::civil(0), "1970-01-01T00:00:00");
        assert_eq!(super::civil(951_782_399), "2000-02-28T23:59:59");
        assert_eq!(super::civil(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(super::civil(1_798_761_599), "2026-12-31T23:59:59");
    }
}
