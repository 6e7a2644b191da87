//! A panel brought together with what is known of its metric: which fields, which order, which kind.
//!
//! Names become places here, once a frame. Draws nothing.

use crate::dashboard::layout::{Kind, Panel, SortKey};
use crate::dashboard::model::metric::MetricModel;
use crate::dashboard::model::ranking::{Question, Ranked, Sort, rank};
use crate::dashboard::state::State;

/// A panel whose metric has come.
#[derive(Debug)]
pub struct Resolved<'a> {
    /// The panel as it was asked for.
    pub panel: &'a Panel,
    /// Its metric.
    pub metric: &'a MetricModel,
    /// The fields that are shown: their places in the metric and their names.
    pub fields: Vec<(usize, String)>,
    /// How it is shown.
    pub kind: Kind,
    /// The field whose history and change are shown.
    pub field: usize,
    order: Option<Sort>,
}

impl<'a> Resolved<'a> {
    /// Brings them together; a text that says why not, where the panel asks for what the metric does not have.
    pub fn new(panel: &'a Panel, metric: &'a MetricModel, orders_on: usize) -> Result<Resolved<'a>, String> {
        let known: Vec<&str> = metric.field_names().collect();
        let place = |name: &str| {
            let place = known.iter().position(|known| *known == name);
            place.ok_or_else(|| format!("no field '{name}' in '{}'; it has {}", metric.name(), known.join(", ")))
        };
        let fields: Vec<(usize, String)> = match &panel.fields[..] {
            [] => known.iter().map(|name| (*name).to_owned()).enumerate().collect(),
            named => named.iter().map(|name| Ok((place(name)?, name.clone()))).collect::<Result<_, String>>()?,
        };
        // Without it groups would be added up that were not meant to be.
        for name in panel.group.iter().flatten() {
            if !metric.key_columns().any(|column| column.name == *name) {
                let known: Vec<&str> = metric.group_names().collect();
                return Err(format!("no group '{name}' in '{}'; it has {}", metric.name(), known.join(", ")));
            }
        }
        let first = fields.first().map_or(0, |(place, _)| *place);
        let asked = match &panel.sort {
            None => None,
            Some(SortKey::Rank) => Some(Sort::Rank),
            Some(SortKey::Group) => Some(Sort::Group),
            Some(SortKey::Field { name, descending }) => {
                Some(Sort::Field { field: place(name)?, descending: *descending })
            }
        };
        let by_field = fields.iter().map(|(field, _)| Some(Sort::Field { field: *field, descending: true }));
        let mut orders = vec![asked];
        let others = by_field.chain([Some(Sort::Group)]);
        // What is asked for if nothing is said is the first field, unless the rows carry ranks.
        orders.extend(others.filter(|order| *order != asked));
        let order = orders[orders_on % orders.len()];
        let field = match order {
            Some(Sort::Field { field, .. }) => field,
            _ => first,
        };
        let has_groups = match &panel.group {
            Some(by) => !by.is_empty(),
            None => metric.group_names().next().is_some(),
        };
        let kind = panel.kind.unwrap_or(if has_groups { Kind::Table } else { Kind::Value });
        Ok(Resolved { panel, metric, fields, kind, field, order })
    }

    /// Its rows from `skip` on, at most `take`, with the history of `field`.
    pub fn ranked(&self, state: &State, skip: usize, take: usize, field: usize) -> Ranked {
        let question = Question {
            by: self.panel.group.as_deref(),
            sort: self.order,
            filter: &state.filter,
            history_field: field,
            history: state.windows(),
            skip,
            take,
        };
        rank(self.metric, &question)
    }

    /// What the order is called, if it is not the one that comes by itself.
    pub fn order_name(&self) -> Option<String> {
        Some(match self.order? {
            Sort::Rank => "by rank".to_owned(),
            Sort::Group => "by name".to_owned(),
            Sort::Field { field, descending } => {
                let name = self.metric.field_names().nth(field).unwrap_or_default();
                format!("by {name}{}", if descending { "" } else { ", least first" })
            }
        })
    }

    /// The name of the field whose history and change are shown.
    pub fn field_name(&self) -> &str {
        self.metric.field_names().nth(self.field).unwrap_or_default()
    }

    /// Its title.
    pub fn title(&self) -> &str {
        self.panel.title.as_deref().unwrap_or(self.metric.name())
    }
}
