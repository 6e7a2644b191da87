//! Published accuracy figures, read from the folder that `EVKIT_CASES` names: NIST's certified means and deviations, and
//! the quantiles of a heavy-tailed sample. Without it these tests say that they are skipped.
//!
//! Knows nothing of how the folder came about.

use crate::aggregate::testing::batch;
use crate::aggregate::{APPROX_PERCENTILE_RELATIVE_ERROR, Accumulators, Function};
use crate::value::Value;
use std::path::PathBuf;

fn cases(folder: &str) -> Option<PathBuf> {
    let cases = std::env::var_os("EVKIT_CASES").map(|cases| PathBuf::from(cases).join(folder));
    if cases.is_none() {
        eprintln!("SKIPPED: EVKIT_CASES is not set, the cases in '{folder}' were not checked");
    }
    cases
}

/// The result over the values, cut into 16 parts that are merged.
fn result(function: Function, values: &[Value]) -> f64 {
    let mut merged = Accumulators::new(std::slice::from_ref(&function));
    merged.add_group();
    for part in 0..16 {
        let mut table = Accumulators::new(std::slice::from_ref(&function));
        table.add_group();
        let values: Vec<Value> = values.iter().skip(part).step_by(16).cloned().collect();
        let batch = batch(0, 0, &values, &vec![0; values.len()]);
        let rows: Vec<u32> = (0..values.len() as u32).collect();
        table.update(0, &vec![0; rows.len()], &rows, Some(&batch.columns[0]), None, &batch, &mut 0);
        merged.merge_group(0, &table, 0);
    }
    match merged.finish(0, 0, None) {
        Value::Float(value) => value,
        other => panic!("{function:?} gave {other:?}"),
    }
}

fn json(path: PathBuf) -> serde_json::Value {
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("reading {path:?}: {error}"))
}

#[test]
fn means_and_deviations_have_the_digits_that_nist_certifies() {
    let Some(folder) = cases("numerics") else { return };
    let certified = json(folder.join("certified.json"));
    let sets = certified["datasets"].as_array().expect("a list of data sets");
    assert_eq!(sets.len(), 9);
    for set in sets {
        let name = set["dataset"].as_str().expect("a name");
        let text = std::fs::read_to_string(folder.join(format!("{name}.ndjson"))).expect("its series");
        let values: Vec<Value> = text
            .lines()
            .map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).expect("an event");
                let number = &event["properties"]["value"];
                number
                    .as_i64()
                    .map_or_else(|| Value::Float(number.as_f64().expect("a number")), |i| Value::Int(i.into()))
            })
            .collect();
        // Decimals such as 10000000.2 are no doubles. Evaluated in 60 digits over the doubles that are read for them, the
        // deviations agree with those of the decimals in just so many digits: no arithmetic can do better.
        let digits_of_deviation = match name {
            "Mavro" => 13.1,
            "Michelso" => 13.8,
            "NumAcc3" => 9.4,
            "NumAcc4" => 8.2,
            _ => 15.0,
        };
        for (function, field, digits) in
            [(Function::Avg, "mean", 15.0), (Function::StddevSamp, "stddev_samp", digits_of_deviation)]
        {
            let expected: f64 = set[field].as_str().expect("a text").parse().expect("a number");
            let found = result(function, &values);
            let error = ((found - expected) / expected).abs();
            let agree = if error == 0.0 { 15.0 } else { (-error.log10()).min(15.0) };
            assert!(agree >= digits, "{name}: {field} {found} has {agree:.1} digits of {expected}");
        }
    }
}

#[test]
fn percentiles_of_a_heavy_tail_are_as_near_as_promised() {
    let Some(folder) = cases("sketches") else { return };
    let text = std::fs::read_to_string(folder.join("pareto_1_1_50k.txt")).expect("the sample");
    let values: Vec<Value> = text.lines().map(|line| Value::Float(line.parse().expect("a number"))).collect();
    let accuracy = json(folder.join("accuracy.json"));
    let rows = &accuracy["peers_measured_here"]["quantiles"]["pareto_1_1_50k"]["rows"];
    let rows = rows.as_array().expect("rows");
    assert!(rows.len() >= 5, "{rows:?}");
    for row in rows {
        let number = |field: &str| row[field].as_f64().expect("a number");
        let found = result(Function::ApproxPercentile(number("p")), &values);
        let exact = number("exact_lower_quantile");
        assert!((found - exact).abs() <= APPROX_PERCENTILE_RELATIVE_ERROR * exact, "{row}: {found}");
        let found = result(Function::PercentileDisc(number("p")), &values);
        assert_eq!(found, number("exact_nearest_rank"), "{row}");
    }
}
