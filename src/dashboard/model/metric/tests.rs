//! What becomes of a metric's rows, by one check over what is left of them.

use super::*;
use crate::dashboard::model::Model;
use crate::dashboard::model::fixture::{feed, model_of, row};
use std::collections::BTreeMap as Map;

/// Every group with the values of its points, as `group=1,2`, sorted.
fn shown(model: &Model) -> String {
    let Some(metric) = model.metrics().first() else { return String::new() };
    let mut all: Vec<String> = metric
        .series()
        .map(|series| {
            let group: Vec<&str> = series.groups.iter().map(|group| group.as_deref().unwrap_or("null")).collect();
            let values = series.points().iter().map(|point| {
                let values: Vec<String> = point.values.iter().map(f64::to_string).collect();
                values.join("+")
            });
            format!("{}={}", group.join("/"), values.collect::<Vec<_>>().join(","))
        })
        .collect();
    all.sort();
    all.join(" ")
}

#[track_caller]
fn check(rows: &[(i64, &str)], expected: &str) {
    let text: String = rows.iter().map(|(minute, cells)| row("m", *minute, cells)).collect();
    assert_eq!(shown(&model_of(&text)), expected);
}

#[test]
fn revisions_replace_and_retractions_remove() {
    let (a, b) = (r#""g":"a","n":1"#, r#""g":"b","n":2"#);
    check(&[(0, a), (0, b), (1, a)], "a=1,1 b=2");
    check(&[(0, a), (0, b), (0, r#""g":"a","n":5,"revision":1"#)], "a=5 b=2");
    check(&[(0, a), (0, b), (0, r#""g":"b","n":2,"revision":1,"retracted":true"#)], "a=1");
    check(&[(0, r#""g":"a","n":5,"revision":1"#), (0, r#""g":"a","n":1,"revision":0"#)], "a=5");
    check(
        &[(0, r#""g":"a","n":1,"final":false"#), (0, r#""g":"a","n":2,"final":false"#), (0, r#""g":"a","n":3"#)],
        "a=3",
    );
}

#[test]
fn the_same_rows_again_change_nothing() {
    let rows = [(0, r#""g":"a","n":1"#), (0, r#""g":"b","n":2"#), (0, r#""g":"a","n":1"#), (0, r#""g":"b","n":2"#)];
    check(&rows, "a=1 b=2");
}

#[test]
fn numbers_that_tell_groups_apart_become_groups() {
    check(&[(0, r#""status":200,"n":5"#), (0, r#""status":404,"n":1"#), (1, r#""status":200,"n":7"#)], "200=5,7 404=1");
    check(
        &[
            (0, r#""host":"x","status":200,"n":5"#),
            (1, r#""host":"x","status":200,"n":6"#),
            (1, r#""host":"x","status":404,"n":1"#),
        ],
        "x/200=5,6 x/404=1",
    );
    // The only number is shown as it came last.
    check(&[(0, r#""n":5"#), (0, r#""n":6"#)], "=6");
}

#[test]
fn a_null_becomes_what_comes_later() {
    check(&[(0, r#""avg":null,"n":1"#), (1, r#""avg":2.5,"n":2"#)], "=NaN+1,2.5+2");
    check(&[(0, r#""g":null,"n":1"#), (0, r#""g":"a","n":2"#)], "a=2 null=1");
}

#[test]
fn a_layout_names_groups() {
    let mut model = Model::new(Limits::default(), Map::from([("m".to_owned(), vec!["status".to_owned()])]));
    feed(&mut model, &row("m", 0, r#""status":200,"n":5"#));
    assert_eq!(shown(&model), "200=5");
    assert_eq!(model.metrics()[0].field_names().collect::<Vec<_>>(), ["n"]);
    assert_eq!(model.metrics()[0].group_names().collect::<Vec<_>>(), ["status"]);
}

#[test]
fn windows_that_are_looked_at() {
    let minute_of = |text: &str| {
        let current = model_of(text).metrics()[0].current().unwrap();
        current.start.0 / 60_000_000 % 60
    };
    let (first, second) = (row("m", 0, r#""n":1"#), row("m", 1, r#""n":1"#));
    let early = |minute| row("m", minute, r#""n":1,"final":false"#);
    assert_eq!(minute_of(&(first.clone() + &second)), 1);
    assert_eq!(minute_of(&(first.clone() + &early(1) + &early(2))), 1, "the next one to fire");
    assert_eq!(minute_of(&(first + &early(1) + &early(2) + &second)), 2);
}

#[test]
fn groups_and_history_are_bounded_and_the_greatest_stay() {
    let limits = Limits { metrics: 1, series: 3, points: 12, points_min: 2, points_max: 5 };
    let mut model = Model::new(limits, Map::new());
    for n in 0..10 {
        feed(&mut model, &row("m", 0, &format!(r#""g":"g{n}","n":{n}"#)));
    }
    assert_eq!(shown(&model), "g7=7 g8=8 g9=9");
    assert_eq!(model.metrics()[0].rows_not_kept(), 0, "each was greater than the least");
    feed(&mut model, &row("m", 0, r#""g":"x","n":1"#));
    assert_eq!((shown(&model), model.metrics()[0].rows_not_kept()), ("g7=7 g8=8 g9=9".to_owned(), 1));
    for minute in 1..10 {
        feed(&mut model, &row("m", minute, r#""g":"g9","n":1"#));
    }
    assert_eq!(shown(&model), "g7=7 g8=8 g9=1,1,1,1");
    // A group that comes now stands above those that have been silent.
    feed(&mut model, &row("m", 9, r#""g":"y","n":0"#));
    assert_eq!(shown(&model), "g8=8 g9=1,1,1,1 y=0");
}
