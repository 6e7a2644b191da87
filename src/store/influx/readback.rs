//! What a writer must know of what is stored: the catalogue of a metric, the entries of hours that it did not write itself.
//!
//! Questions are Flux. Knows nothing of answers and of what is done with them.

use crate::store::influx::flux::quoted;
use crate::store::influx::form;

/// The question for the newest of what a measurement has of a metric in this field, such as its catalogue.
pub(crate) fn newest_question(bucket: &str, (measurement, field): (&str, &str), metric: &str) -> String {
    format!(
        "from(bucket: {}) |> range(start: 1677-09-22T00:00:00Z, stop: 2262-04-11T00:00:00Z) \
         |> filter(fn: (r) => r._measurement == {} and r._field == {} and r.{} == {}) \
         |> last() |> keep(columns: [\"_time\", \"_value\"])",
        quoted(bucket),
        quoted(measurement),
        quoted(field),
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
