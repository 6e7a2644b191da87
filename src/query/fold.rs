//! `--agg`: aggregates of the points' values, each point being one row, as the greatest revenue of any minute of an hour.
//!
//! What would be a result of results without meaning, such as an average of averages, is refused.

use rayon::prelude::*;

use crate::aggregate::Function;
use crate::batch::{Column, EventBatch, LineSpan};
use crate::expr::{AggregateCall, Expr, Literal};
use crate::partition::PartitionId;
use crate::plan::MetricText;
use crate::plan::error::{PlanError, Refusal};
use crate::query::answer::{Task, tasks};
use crate::query::error::QuestionError;
use crate::query::frame::place;
use crate::query::question::shown;
use crate::query::recombine::{Merged, Plan, Table};
use crate::store::{Catalogue, Point, Points, StoreError};

/// Aggregates of fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Refold {
    calls: Vec<Call>,
}

#[derive(Debug, Clone, PartialEq)]
struct Call {
    name: String,
    text: String,
    function: Function,
    /// The field; none for `count(*)`.
    field: Option<usize>,
}

/// A point, where it goes and which series it is of.
struct Placed {
    slot: u32,
    series: u32,
    point: Point,
}

/// Points that are folded as one batch.
const FOLDED_AT_ONCE: usize = 4096;

impl Refold {
    /// Checks `--agg` against a metric's fields.
    pub fn of(agg: &str, catalogue: &Catalogue) -> Result<Refold, QuestionError> {
        let text = MetricText::default();
        let calls = crate::expr::parse_aggregates(agg).map_err(|error| PlanError::expression(&text, "agg", error))?;
        let calls = calls.iter().map(|call| Call::of(call, catalogue)).collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        names.extend(catalogue.groups.iter().map(String::as_str));
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                let cause = "this name is used twice; give another one with AS".to_owned();
                Err(PlanError::new(&text, "agg", pair[0], Refusal::Other(cause)).into())
            }
            None => Ok(Refold { calls }),
        }
    }

    /// Name and text of each value, and whether it is a count.
    pub fn values(&self) -> Vec<((String, String), bool)> {
        let value = |call: &Call| ((call.name.clone(), call.text.clone()), call.function.is_count());
        self.calls.iter().map(value).collect()
    }

    /// Folds the points of each window and group.
    pub fn merged<'a, M: Points>(&self, readers: &mut [M], plan: Plan<'a>) -> Result<Merged<'a>, StoreError> {
        let functions: Vec<Function> = self.calls.iter().map(|call| call.function.clone()).collect();
        let tasks = tasks(plan.series, plan.range, readers);
        let tables = readers.par_iter_mut().zip(tasks).map(|(reader, Task { series, first, range })| {
            let mut table = Table::new(&functions, plan.windows.len() * plan.groups);
            let mut placed = Vec::new();
            reader.points(plan.metric, series, range, |number, point| {
                let Some(index) = place(plan.windows, point.window.start) else { return };
                let slot = table.slot(index * plan.groups + series[number].1 as usize);
                placed.push(Placed { slot, series: (first + number) as u32, point });
                if placed.len() == FOLDED_AT_ONCE {
                    self.fold(&mut table, &placed);
                    placed.clear();
                }
            })?;
            self.fold(&mut table, &placed);
            Ok(table)
        });
        let tables = tables.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Merged::of(tables, plan.windows, plan.groups, (0..functions.len()).collect()))
    }

    fn fold(&self, table: &mut Table, placed: &[Placed]) {
        let mut text = Vec::new();
        let mut columns = Vec::new();
        for call in &self.calls {
            let mut column = Column::new();
            if let Some(field) = call.field {
                placed.iter().for_each(|placed| column.push_value(&placed.point.values[field], &mut text));
            }
            columns.push(column);
        }
        let batch = EventBatch {
            stamps: None,
            partition: PartitionId(0),
            offset: 0,
            line: 0,
            text,
            times: placed.iter().map(|placed| placed.point.window.start).collect(),
            // Points of the same time go by their series, for `first` and `last`.
            spans: placed.iter().map(|placed| LineSpan { start: placed.series, len: 0, line: 0 }).collect(),
            columns,
            rejects: Vec::new(),
            in_band: Vec::new(),
            lines: 0,
            blank: 0,
            result_lines: Vec::new(),
        };
        let slots: Vec<u32> = placed.iter().map(|placed| placed.slot).collect();
        let rows: Vec<u32> = (0..placed.len() as u32).collect();
        for (aggregate, call) in self.calls.iter().enumerate() {
            let input = call.field.map(|_| &batch.columns[aggregate]);
            table.accumulators.update(aggregate, &slots, &rows, input, None, &batch, &mut 0);
        }
    }
}

impl Call {
    fn of(call: &AggregateCall, catalogue: &Catalogue) -> Result<Call, QuestionError> {
        let text = MetricText::default();
        let refuse = |cause: String| PlanError::new(&text, "agg", &call.to_string(), Refusal::Other(cause));
        if call.filter.is_some() || call.within_group_descending {
            return Err(refuse("FILTER and DESC are not supported here; --where chooses the series".into()).into());
        }
        let (argument, constants) = match (&call.within_group, call.arguments.split_first()) {
            (Some(argument), _) => (Some(argument), &call.arguments[..]),
            (None, Some((argument, constants))) => (Some(argument), constants),
            (None, None) => (None, &[][..]),
        };
        let number = |expr: &Expr| match expr {
            Expr::Literal(Literal::Int(number)) => Ok(*number as f64),
            Expr::Literal(Literal::Float(number)) => Ok(*number),
            other => Err(refuse(format!("'{other}' must be a number"))),
        };
        let parameters = constants.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let function = Function::from_name(&call.function, call.distinct, &parameters)
            .map_err(|error| refuse(error.to_string()))?;
        let field = match argument {
            None if call.star && function == Function::Count => None,
            Some(Expr::Path { path, .. }) => {
                let name = crate::expr::name_of_path(path);
                let field = catalogue.fields.iter().position(|field| field.name == name);
                let known = || catalogue.fields.iter().map(|field| field.name.clone()).collect();
                let metric = || catalogue.name.clone();
                Some(field.ok_or_else(|| QuestionError::NoSuch {
                    metric: metric(),
                    what: "field",
                    name,
                    known: known(),
                })?)
            }
            _ => return Err(refuse("it takes the name of a field".into()).into()),
        };
        if let Some(field) = field.map(|field| &catalogue.fields[field])
            && is_summary(&field.function)
            && takes_magnitudes(&function)
        {
            return Err(QuestionError::ResultOfResults {
                call: call.to_string(),
                field: field.name.clone(),
                own: shown(&field.function),
                function: shown(&function),
            });
        }
        Ok(Call { name: call.name.clone(), text: call.to_string(), function, field })
    }
}

/// Results that hide how many events they are of.
fn is_summary(function: &Function) -> bool {
    !matches!(
        function,
        Function::Count
            | Function::Sum
            | Function::Rate
            | Function::Min
            | Function::Max
            | Function::First
            | Function::Last
    )
}

/// Functions whose result is wrong where each value should weigh as many events as it is of.
fn takes_magnitudes(function: &Function) -> bool {
    !matches!(
        function,
        Function::Count
            | Function::CountDistinct
            | Function::ApproxCountDistinct
            | Function::Min
            | Function::Max
            | Function::First
            | Function::Last
            | Function::TopK(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan as QueryPlan;

    #[track_caller]
    fn check(agg: &str, expected: Result<&[&str], &str>) {
        let text = MetricText {
            tumbling: Some("1m".into()),
            agg: Some("sum(x) AS total, avg(x) AS mean, approx_count_distinct(y) AS users".into()),
            ..MetricText::default()
        };
        let plan = QueryPlan::build(std::slice::from_ref(&text)).unwrap();
        let catalogue = Catalogue::of(&text, &plan.schemas[0], &plan.queries[0].functions);
        let found = Refold::of(agg, &catalogue);
        match expected {
            Ok(names) => {
                let values = found.unwrap().values();
                assert_eq!(values.iter().map(|((name, _), _)| name.as_str()).collect::<Vec<_>>(), names);
            }
            Err(part) => {
                let error = found.unwrap_err().to_string();
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn sums_may_be_folded_and_averages_only_compared() {
        check("max(total) AS peak, avg(total), count(*) AS n", Ok(&["peak", "avg(total)", "n"]));
        check("max(mean), last(users) AS l", Ok(&["max(mean)", "l"]));
        check("percentile_cont(0.9) WITHIN GROUP (ORDER BY total) AS p", Ok(&["p"]));
        check("avg(mean)", Err("the field 'mean' is itself avg"));
        check("sum(users)", Err("is itself approx_count_distinct"));
        check("sum(nothing)", Err("no field 'nothing'"));
        check("sum(total + 1)", Err("name of a field"));
        check("sum(total) FILTER (WHERE total > 1)", Err("FILTER"));
        check("sum(total) AS a, max(total) AS a", Err("used twice"));
    }
}
