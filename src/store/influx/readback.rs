//! What a writer must know of what is stored: the catalogue of a metric, the entries of hours that it did not write itself.
//!
//! Questions are Flux, answers annotated CSV of few columns. Knows nothing of what is done with them.

use std::io::Read;

use crate::store::influx::form;

/// A table of an answer that is a message.
const ERROR: &str = "error";

/// A text as Flux writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '$' => quoted.push_str("\\x24"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The question for the newest catalogue of a metric.
pub(crate) fn catalogue_question(bucket: &str, metric: &str) -> String {
    format!(
        "from(bucket: {}) |> range(start: 1677-09-22T00:00:00Z, stop: 2262-04-11T00:00:00Z) \
         |> filter(fn: (r) => r._measurement == {} and r._field == {} and r.{} == {}) \
         |> last() |> keep(columns: [\"_time\", \"_value\"])",
        quoted(bucket),
        quoted(form::CATALOGUE),
        quoted(form::CATALOGUE_FIELD),
        form::METRIC,
        quoted(metric)
    )
}

/// The question for one field of a measurement, or all, over some time, in microseconds, the end excluded: of all series, or of these.
pub(crate) fn field_question(
    (bucket, measurement, field): (&str, &str, Option<&str>),
    (start, stop): (i64, i64),
    series: Option<&[&str]>,
) -> String {
    let of_series = series.map_or_else(String::new, |series| {
        let each: Vec<String> = series.iter().map(|tag| format!("r.{} == {}", form::SERIES, quoted(tag))).collect();
        format!(" and ({})", each.join(" or "))
    });
    let of_field = field.map_or_else(String::new, |field| format!(" and r._field == {}", quoted(field)));
    let time = |micros: i64| crate::time::Timestamp(micros);
    format!(
        "from(bucket: {}) |> range(start: {}, stop: {}) \
         |> filter(fn: (r) => r._measurement == {}{of_field}{of_series}) \
         |> keep(columns: [\"_time\", \"_value\", \"_field\", \"{}\"])",
        quoted(bucket),
        time(start),
        time(stop),
        quoted(measurement),
        form::SERIES
    )
}

/// Calls `see` with what these columns hold, for each row of an answer. The error is what is wrong with the answer.
pub(crate) fn each_row(
    answer: impl Read,
    columns: &[&str],
    mut see: impl FnMut(&[&str]) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(answer);
    let mut places: Vec<usize> = Vec::new();
    let mut is_header_next = true;
    let mut row = csv::StringRecord::new();
    let mut is_error = false;
    while reader.read_record(&mut row).map_err(|error| error.to_string())? {
        let is_annotation = row.get(0).is_some_and(|first| first.starts_with('#'));
        if is_annotation {
            is_header_next = true;
            continue;
        }
        // An empty answer is one blank line, which is no record.
        if row.iter().all(str::is_empty) {
            continue;
        }
        if is_header_next {
            is_header_next = false;
            is_error = row.iter().any(|name| name == ERROR) && !columns.contains(&ERROR);
            let place = |column: &&str| row.iter().position(|name| name == *column);
            if !is_error {
                places = columns
                    .iter()
                    .map(|column| place(column).ok_or_else(|| format!("it has no column '{column}'")))
                    .collect::<Result<_, _>>()?;
            }
            continue;
        }
        if is_error {
            let words: Vec<&str> = row.iter().filter(|text| !text.is_empty()).collect();
            return Err(words.join(" "));
        }
        let found: Vec<&str> = places.iter().map(|place| row.get(*place).unwrap_or_default()).collect();
        see(&found)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: Result<&[[&str; 2]], &str>) {
        let mut found = Vec::new();
        let read = each_row(answer.as_bytes(), &["_time", "series"], |row| {
            found.push([row[0].to_owned(), row[1].to_owned()]);
            Ok(())
        });
        let expected = expected.map(|rows| rows.iter().map(|row| row.map(str::to_owned)).collect::<Vec<_>>());
        assert_eq!(read.map(|()| found), expected.map_err(str::to_owned));
    }

    #[test]
    fn rows_are_found_in_all_tables() {
        check("\r\n", Ok(&[]));
        check("", Ok(&[]));
        let head =
            "#datatype,string,long,string,dateTime:RFC3339\r\n#group,false,false,true,false\r\n#default,_result,,,\r\n";
        let one = format!("{head},result,table,series,_time\r\n,,0,AQ,t1\r\n,,1,Ag,t2\r\n\r\n");
        let two = format!("{one}{head},result,table,_time,series\r\n,,2,t3,\"a,b\"\r\n\r\n");
        check(&two, Ok(&[["t1", "AQ"], ["t2", "Ag"], ["t3", "a,b"]]));
        check(",result,table\r\n,,0\r\n", Err("it has no column '_time'"));
        let broken = format!(
            "{one}#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,too much,897\r\n"
        );
        check(&broken, Err("too much 897"));
    }

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted("a\"b\\c${d}"), "\"a\\\"b\\\\c\\x24{d}\"");
    }
}
