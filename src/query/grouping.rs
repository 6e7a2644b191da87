//! Which series an answer is made of, and which of its groups each belongs to.
//!
//! Knows nothing of points.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::expr::Program;
use crate::store::Series;
use crate::value::Value;
use crate::window::Row;
use crate::window::key::{compare_groups, key_of};
use crate::window::present::columns_of;

/// The groups of an answer, and the series that make them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grouping {
    /// Values of the answer's group columns, in their order.
    pub groups: Vec<Arc<[Value]>>,
    /// Each series' number in the store, with the number of its group; by group, then by the series' own values.
    pub series: Vec<(i64, u32)>,
}

impl Grouping {
    /// Groups the series for which `filter` is TRUE by the group columns of these numbers.
    pub fn of(series: &[Series], filter: Option<&Program>, by: &[usize]) -> Grouping {
        let chosen = chosen(series, filter);
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut groups: Vec<Arc<[Value]>> = Vec::new();
        let mut of_series = Vec::new();
        for series in chosen {
            let values: Arc<[Value]> = by.iter().map(|column| series.groups[*column].clone()).collect();
            let number = *numbers.entry(key_of(&values)).or_insert_with(|| {
                groups.push(values);
                groups.len() - 1
            });
            of_series.push((series, number));
        }
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by(|a, b| compare_groups(&groups[*a], &groups[*b]));
        let mut place = vec![0; groups.len()];
        order.iter().enumerate().for_each(|(index, group)| place[*group] = index as u32);
        // By their values, not by their numbers, which the stores give as they like.
        of_series.sort_by(|(a, group_a), (b, group_b)| {
            place[*group_a].cmp(&place[*group_b]).then_with(|| compare_groups(&a.groups, &b.groups))
        });
        let series = of_series.into_iter().map(|(series, group)| (series.id, place[group])).collect();
        let groups = order.into_iter().map(|group| Arc::clone(&groups[group])).collect();
        Grouping { groups, series }
    }
}

fn chosen<'a>(series: &'a [Series], filter: Option<&Program>) -> Vec<&'a Series> {
    let Some(filter) = filter.filter(|_| !series.is_empty()) else { return series.iter().collect() };
    let rows: Vec<Row> = series.iter().map(|series| Row { groups: series.groups.clone(), ..Row::default() }).collect();
    let mut text = Vec::new();
    let columns = columns_of(&rows, &mut text);
    let chosen = filter.select(&columns, rows.len(), &mut text, &mut 0);
    chosen.into_iter().map(|row| &series[row as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{MetricText, RowColumns};

    #[test]
    fn series_are_chosen_and_put_in_order_of_their_groups() {
        let text = |s: &str| Value::Text(s.into());
        let of = |id, country: &str, shop| Series { id, groups: [text(country), Value::Int(shop)].into() };
        let series = [of(1, "us", 1), of(2, "de", 2), of(3, "us", 3), of(4, "de", 4)];
        let columns = RowColumns::new(&["country".into(), "shop".into()], &[]);
        let filter = columns.over_rows(&MetricText::default(), "where", "shop < 4").unwrap();
        let by_country = Grouping::of(&series, Some(&filter), &[0]);
        assert_eq!(by_country.groups, [[text("de")].into(), [text("us")].into()] as [Arc<[Value]>; 2]);
        assert_eq!(by_country.series, [(2, 0), (1, 1), (3, 1)]);
        assert_eq!(Grouping::of(&series, None, &[]).series.len(), 4);
        assert_eq!(Grouping::of(&series, None, &[]).groups, [Arc::from([])] as [Arc<[Value]>; 1]);
        assert_eq!(Grouping::of(&[], Some(&filter), &[0]), Grouping::default());
    }
}
