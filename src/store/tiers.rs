//! One metric read from two tiers: windows that start before an edge in time from the one beneath, the others from the one above.
//!
//! Each tier has numbers of its own for the series; here a series is known by its group, whichever tier has it. A window lies whole
//! in one of the tiers. Knows nothing of how the tier beneath came about, and of where the edge has to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::catalogue::Grain;
use crate::store::error::StoreError;
use crate::store::metrics::{Known, Point, Points, Series, StoredMetric};
use crate::store::reader::Reader;
use crate::time::{Timestamp, Window};
use crate::window::key::key_of;

/// Reads both tiers.
#[derive(Debug)]
pub struct Tiered<M> {
    above: M,
    beneath: Reader,
    shared: Arc<Shared>,
}

/// What all readers of a question know.
#[derive(Debug)]
struct Shared {
    /// The metric as the tier beneath has it.
    beneath: StoredMetric,
    /// Windows that start before this are read from the tier beneath.
    edge: Timestamp,
    /// Each series' number above and beneath, by its own number.
    ids: Vec<Numbers>,
}

/// A series' number above and beneath, where it is there.
type Numbers = (Option<i64>, Option<i64>);

impl<M: Points> Tiered<M> {
    /// Puts readers of a metric over as many of the tier beneath; where these are fewer, readers go. Gives the series of both.
    pub fn over(
        above: Vec<M>,
        of_above: &[Series],
        beneath: Vec<Reader>,
        of_beneath: Known,
        edge: Timestamp,
    ) -> (Vec<Tiered<M>>, Vec<Series>) {
        let mut by_group: BTreeMap<Vec<u8>, (&Series, Numbers)> = BTreeMap::new();
        for series in of_above {
            by_group.insert(key_of(&series.groups), (series, (Some(series.id), None)));
        }
        for series in &of_beneath.series {
            by_group.entry(key_of(&series.groups)).or_insert((series, (None, None))).1.1 = Some(series.id);
        }
        let ids = by_group.values().map(|(_, numbers)| *numbers).collect();
        let series = by_group.values().zip(0..).map(|((series, ..), id)| Series { id, groups: series.groups.clone() });
        let series = series.collect();
        let shared = Arc::new(Shared { beneath: of_beneath.metric, edge, ids });
        let readers = above.into_iter().zip(beneath);
        let readers = readers.map(|(above, beneath)| Tiered { above, beneath, shared: Arc::clone(&shared) });
        (readers.collect(), series)
    }
}

impl Shared {
    /// Of these series those that a tier has, by their numbers there, and the place of each in `series`.
    fn of_tier(
        &self,
        series: &[(i64, u32)],
        number: impl Fn(&Numbers) -> Option<i64>,
    ) -> (Vec<(i64, u32)>, Vec<usize>) {
        let of_tier = series.iter().enumerate();
        let of_tier =
            of_tier.filter_map(|(place, (id, group))| Some(((number(&self.ids[*id as usize])?, *group), place)));
        of_tier.unzip()
    }
}

impl<M: Points> Points for Tiered<M> {
    const SHARES_TIME: bool = M::SHARES_TIME;

    fn partials(
        &mut self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        grain: Grain,
        (from, until, open_from): (Timestamp, Timestamp, Timestamp),
        mut see: impl FnMut(usize, Window, &[u8]) -> Result<(), crate::aggregate::Error>,
    ) -> Result<(), StoreError> {
        let edge = self.shared.edge;
        if from < edge {
            let (series, places) = self.shared.of_tier(series, |(_, beneath)| *beneath);
            // All windows beneath have fired.
            let range = (from, until.min(edge), edge);
            Points::partials(
                &mut self.beneath,
                &self.shared.beneath,
                &series,
                grain,
                range,
                |place, window, partial| see(places[place], window, partial),
            )?;
        }
        if edge < until {
            let (series, places) = self.shared.of_tier(series, |(above, _)| *above);
            let range = (from.max(edge), until, open_from);
            self.above.partials(metric, &series, grain, range, |place, window, partial| {
                see(places[place], window, partial)
            })?;
        }
        Ok(())
    }

    fn points(
        &mut self,
        metric: &StoredMetric,
        series: &[(i64, u32)],
        (from, until): (Timestamp, Timestamp),
        mut see: impl FnMut(usize, Point),
    ) -> Result<(), StoreError> {
        let edge = self.shared.edge;
        if from < edge {
            let (series, places) = self.shared.of_tier(series, |(_, beneath)| *beneath);
            let range = (from, until.min(edge));
            Points::points(&mut self.beneath, &self.shared.beneath, &series, range, |place, point| {
                see(places[place], point);
            })?;
        }
        if edge < until {
            let (series, places) = self.shared.of_tier(series, |(above, _)| *above);
            self.above.points(metric, &series, (from.max(edge), until), |place, point| see(places[place], point))?;
        }
        Ok(())
    }
}
