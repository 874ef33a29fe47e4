//! The table of rates.

use dpipe_event::Timestamp;

use super::decimal::Decimal;

/// What a unit of each currency cost in dollars, since when.
#[derive(Debug)]
pub(super) struct Rates {
    /// Sorted by currency, and each currency's by day.
    currencies: Vec<(Code, Vec<(i64, Decimal)>)>,
}

/// A currency's three letters, upper case, as one number.
type Code = u32;

impl Rates {
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Rates, String> {
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut lines = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        match lines.next() {
            Some((_, header)) if columns(header) == Some(["date", "currency", "usd"]) => {}
            Some((number, _)) => return Err(format!("line {number} is not `{HEADER}`")),
            None => return Err(format!("it has no line `{HEADER}`")),
        }
        let mut rows = Vec::new();
        for (number, line) in lines {
            let row = parse_row(line).map_err(|what| format!("line {number}: {what}"))?;
            rows.push((row, number));
        }
        rows.sort_by_key(|&((code, day, _), _)| (code, day));
        let mut currencies: Vec<(Code, Vec<(i64, Decimal)>)> = Vec::new();
        for ((code, day, rate), number) in rows {
            match currencies.last_mut() {
                Some((last, rates)) if *last == code => {
                    if rates.last().is_some_and(|(last, _)| *last == day) {
                        return Err(format!("line {number}: this date and currency came before"));
                    }
                    rates.push((day, rate));
                }
                _ => currencies.push((code, vec![(day, rate)])),
            }
        }
        Ok(Rates { currencies })
    }

    /// The rate of a currency at a time; none if it has none yet, or ever.
    pub(super) fn at(&self, currency: &[u8], time: Timestamp) -> Option<Decimal> {
        let code = code(currency)?;
        let at = self.currencies.binary_search_by_key(&code, |(code, _)| *code).ok()?;
        let rates = &self.currencies[at].1;
        let later = rates.partition_point(|(day, _)| *day <= time.days());
        Some(rates[later.checked_sub(1)?].1)
    }
}

const HEADER: &str = "date,currency,usd";

fn columns(line: &str) -> Option<[&str; 3]> {
    let mut columns = line.split(',').map(str::trim);
    let three = [columns.next()?, columns.next()?, columns.next()?];
    columns.next().is_none().then_some(three)
}

fn parse_row(line: &str) -> Result<(Code, i64, Decimal), String> {
    let [date, currency, usd] = columns(line).ok_or_else(|| format!("expected `{HEADER}`"))?;
    let day = parse_day(date).ok_or_else(|| format!("`{date}` is not a date like 2024-06-01"))?;
    let code = code(currency.as_bytes())
        .ok_or_else(|| format!("`{currency}` is not a currency's three letters"))?;
    let rate = Decimal::parse(usd.as_bytes())
        .filter(|rate| rate.is_positive())
        .ok_or_else(|| format!("`{usd}` is not a rate above 0"))?;
    Ok((code, day, rate))
}

fn parse_day(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let year = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let [month, day] = [parts.next()?, parts.next()?];
    let midnight = Timestamp::from_civil(year, month.parse().ok()?, day.parse().ok()?, 0);
    // The calendar agrees only about days that there are.
    let written = midnight.to_string();
    (parts.next().is_none() && written.starts_with(date)).then_some(midnight.days())
}

fn code(currency: &[u8]) -> Option<Code> {
    let letters: [u8; 3] = currency.try_into().ok()?;
    let [a, b, c] = letters.map(|letter| letter.to_ascii_uppercase());
    letters.iter().all(u8::is_ascii_alphabetic).then_some(u32::from_be_bytes([0, a, b, c]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_table_is_refused_with_its_line() {
        let wrong = |text: &str| Rates::parse(text.as_bytes().to_vec()).unwrap_err();
        assert_eq!(wrong(""), "it has no line `date,currency,usd`");
        assert_eq!(wrong("# x\nday,code"), "line 2 is not `date,currency,usd`");
        let row = |row: &str| wrong(&format!("date,currency,usd\n\n2024-01-01,EUR,1.1\n{row}\n"));
        assert_eq!(row("2024-01-02,EUR"), "line 4: expected `date,currency,usd`");
        for date in ["2024-02-30", "2024-1-1", "24-01-01", "2024-01-01-01", "x", "2024-13-01"] {
            let said = row(&format!("{date},EUR,1"));
            assert_eq!(said, format!("line 4: `{date}` is not a date like 2024-06-01"));
        }
        assert_eq!(row("2024-01-02,EURO,1"), "line 4: `EURO` is not a currency's three letters");
        for rate in ["0", "-1", "x", "1e"] {
            let said = row(&format!("2024-01-02,EUR,{rate}"));
            assert_eq!(said, format!("line 4: `{rate}` is not a rate above 0"));
        }
        assert_eq!(row("2024-01-01,eur,1"), "line 4: this date and currency came before");
    }

    #[test]
    fn the_table_may_have_comments_spaces_and_another_line_end() {
        let text = "\u{feff}# rates\r\ndate, currency, usd\r\n\r\n2024-01-01, EUR, 1.10\r\n";
        let rates = Rates::parse(text.into()).unwrap();
        let day = Timestamp::from_civil(2024, 1, 1, 0);
        assert_eq!(rates.at(b"EUR", day), Decimal::parse(b"1.10"));
        assert_eq!(rates.at(b"EUR", Timestamp::from_millis(day.millis() - 1)), None);
    }
}
