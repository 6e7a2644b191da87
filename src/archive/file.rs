//! One Parquet file of events: rows of one source and hour, gathered in memory, written at once.
//!
//! A row group holds rows of one partition, in the order of their offsets, so that a reader finds a partition's events by
//! statistics alone. Knows nothing of the manifest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::archive::form::{self, ARRIVED, EVENT, OFFSET, PARTITION, SEEN_UNTIL, TEXTS, TIMESTAMP};
use crate::archive::manifest::Span;
use crate::archive::writer::Reach;
use crate::archive::{ArchiveError, again_where_gone};
use crate::batch::{EventBatch, Tag, slot_str};
use crate::time::Timestamp;

/// Rows of a row group: what a reader decodes at once, some megabytes.
const GROUP_ROWS: usize = 16 << 10;

/// The events of one source and hour.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    partitions: BTreeMap<i32, PartitionRows>,
    /// By text column: whether some event has something else there than a text.
    inexact: [bool; TEXTS.len()],
}

#[derive(Debug, Default)]
struct PartitionRows {
    texts: [StringBuilder; TEXTS.len()],
    times: Vec<i64>,
    events: StringBuilder,
    offsets: Vec<i64>,
    seen_until: Vec<Option<i64>>,
    arrived: Vec<Option<i64>>,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub rows: u64,
    pub bytes: u64,
    pub first_us: i64,
    pub last_us: i64,
    pub inexact: Vec<String>,
    pub partitions: Vec<Span>,
}

impl Rows {
    /// Appends an event, the next one of its partition. `arrived` is told of one that is dated too far ahead.
    #[inline]
    pub fn push(
        &mut self,
        batch: &EventBatch,
        row: usize,
        partition: i32,
        (seen_until, arrived): (Timestamp, Option<Timestamp>),
    ) {
        let rows = self.partitions.entry(partition).or_default();
        for (number, (column, text)) in batch.columns.iter().zip(&mut rows.texts).enumerate() {
            match column.tags[row] {
                Tag::Text => text.append_value(slot_str(&batch.text, column.bits[row])),
                Tag::Null => text.append_null(),
                _ => {
                    self.inexact[number] = true;
                    text.append_null();
                }
            }
        }
        let span = batch.spans[row];
        let line = &batch.text[span.start as usize..][..span.len as usize];
        rows.events.append_value(std::str::from_utf8(line).expect("an accepted line is UTF-8"));
        rows.times.push(batch.times[row].0);
        rows.offsets.push(batch.place(row) as i64);
        rows.seen_until.push((seen_until > Timestamp::MIN).then_some(seen_until.0));
        rows.arrived.push(arrived.map(|time| time.0));
    }

    /// Writes them to `path`, whole and durable, with these words about where they came from.
    pub fn write(self, path: &Path, origin: &[(&str, String)], reach: Reach) -> Result<Written, ArchiveError> {
        let failed = || ArchiveError::io("write", path);
        let folder = path.parent().expect("a file stands in a folder");
        // Between the two another process may remove the folder, in which there is nothing yet.
        let file = again_where_gone(|| {
            fs::create_dir_all(folder).map_err(ArchiveError::io("make the folder", folder))?;
            reach("after-folder");
            File::create_new(path).map_err(failed())
        })?;
        let bad = || ArchiveError::parquet("write", path);
        let handle = file.try_clone().map_err(failed())?;
        let buffered = io::BufWriter::with_capacity(1 << 20, file);
        let mut writer = ArrowWriter::try_new(buffered, form::schema(), Some(properties(origin))).map_err(bad())?;
        let inexact =
            TEXTS.iter().zip(self.inexact).filter(|(_, is)| *is).map(|(name, _)| (*name).to_owned()).collect();
        let mut written =
            Written { rows: 0, bytes: 0, first_us: i64::MAX, last_us: i64::MIN, inexact, partitions: Vec::new() };
        for (partition, rows) in self.partitions {
            let span = rows.span(partition);
            written.rows += span.rows;
            written.first_us = rows.times.iter().fold(written.first_us, |least, &time| least.min(time));
            written.last_us = rows.times.iter().fold(written.last_us, |most, &time| most.max(time));
            written.partitions.push(span);
            let batch = rows.finish(partition).map_err(|error| bad()(error.into()))?;
            for start in (0..batch.num_rows()).step_by(GROUP_ROWS) {
                let group = batch.slice(start, GROUP_ROWS.min(batch.num_rows() - start));
                writer.write(&group).and_then(|()| writer.flush()).map_err(bad())?;
            }
        }
        writer.into_inner().map_err(bad())?.into_inner().map_err(|error| failed()(error.into_error()))?;
        handle.sync_all().map_err(failed())?;
        written.bytes = handle.metadata().map_err(failed())?.len();
        Ok(written)
    }
}

impl PartitionRows {
    fn span(&self, partition: i32) -> Span {
        let [first, .., last] = self.offsets[..] else {
            let only = self.offsets[0] as u64;
            return Span { partition, first: only, last: only, rows: 1 };
        };
        Span { partition, first: first as u64, last: last as u64, rows: self.offsets.len() as u64 }
    }

    fn finish(mut self, partition: i32) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let rows = self.offsets.len();
        let schema = form::schema();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for field in schema.fields() {
            columns.push(match field.name().as_str() {
                TIMESTAMP => {
                    let times = TimestampMicrosecondArray::from(std::mem::take(&mut self.times));
                    Arc::new(times.with_timezone("UTC"))
                }
                EVENT => Arc::new(self.events.finish()),
                PARTITION => Arc::new(Int32Array::from(vec![partition; rows])),
                OFFSET => Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
                SEEN_UNTIL => {
                    let seen = TimestampMicrosecondArray::from(std::mem::take(&mut self.seen_until));
                    Arc::new(seen.with_timezone("UTC"))
                }
                ARRIVED => {
                    let arrived = TimestampMicrosecondArray::from(std::mem::take(&mut self.arrived));
                    Arc::new(arrived.with_timezone("UTC"))
                }
                name => {
                    let number = TEXTS.iter().position(|text| *text == name).expect("all others are texts");
                    Arc::new(self.texts[number].finish())
                }
            });
        }
        RecordBatch::try_new(schema, columns)
    }
}

fn properties(origin: &[(&str, String)]) -> WriterProperties {
    let origin = origin.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect();
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("evkit ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd")))
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(origin))
        // Lines are no two the same, and where they lie between says nothing.
        .set_column_dictionary_enabled(column(EVENT), false)
        .set_column_statistics_enabled(column(EVENT), EnabledStatistics::None)
        .set_column_dictionary_enabled(column("event_id"), false);
    for rising in [TIMESTAMP, OFFSET, SEEN_UNTIL] {
        properties = properties
            .set_column_dictionary_enabled(column(rising), false)
            .set_column_encoding(column(rising), Encoding::DELTA_BINARY_PACKED);
    }
    properties.build()
}
