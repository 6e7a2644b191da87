//! A stretch of one partition's offsets, read by whoever works on it: from several files of one part, in the order of the offsets.
//!
//! Where every wanted field has a column, only these columns are read; else the original lines, for a decoder. Both carry with each
//! event how far time had come before it. Knows nothing of which files there are.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::archive::form::{ARRIVED, EVENT, OFFSET, PARTITION, SEEN_UNTIL, TEXTS, TIMESTAMP};
use crate::archive::manifest::FileEntry;
use crate::archive::prune::{self, Bound, Known};
use crate::archive::{ArchiveError, form, litter};
use crate::batch::{Column, EventBatch, LineSpan, Tag, slot};
use crate::event::Path;
use crate::expr::Expr;
use crate::partition::PartitionId;
use crate::record::{Block, Stamp};
use crate::source::{Deferred, Delivered, SourceError};
use crate::time::Timestamp;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 16 << 10;

/// Room that a decoder of lines wants behind them.
const ROOM: usize = 4096;

/// A file whose footer has been read.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The archive's folder.
    archive: PathBuf,
    /// Its path from there.
    name: String,
    metadata: ArrowReaderMetadata,
    /// By text column, whether it holds all that the events have there.
    is_exact: [bool; TEXTS.len()],
}

/// A row group, as its statistics tell it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub file: Arc<Opened>,
    number: usize,
    pub partition: i32,
    pub first: u64,
    pub last: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// What is wanted of each event.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The columns, by the number of the field that is wanted; `None` asks for lines.
    pub columns: Option<Vec<usize>>,
    /// Only events whose time lies here.
    pub range: (Timestamp, Timestamp),
}

/// Some offsets of one partition.
#[derive(Debug)]
pub(crate) struct Unit {
    pub partition: PartitionId,
    pub groups: Vec<Group>,
    /// From this offset to before that.
    pub offsets: (u64, u64),
    pub wish: Wish,
    pub arrival: Timestamp,
    pub bytes: u64,
    pub name: Arc<str>,
}

impl Opened {
    /// Reads the footer of a file.
    pub fn open(archive: &std::path::Path, entry: &FileEntry) -> Result<Opened, ArchiveError> {
        let file = litter::open_named(archive, &entry.path)?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new().with_skip_arrow_metadata(true));
        let metadata = metadata.map_err(ArchiveError::parquet("read", &archive.join(&entry.path)))?;
        let is_exact = TEXTS.map(|name| !entry.inexact.iter().any(|inexact| inexact == name));
        Ok(Opened { archive: archive.to_path_buf(), name: entry.path.clone(), metadata, is_exact })
    }

    fn path(&self) -> PathBuf {
        self.archive.join(&self.name)
    }

    /// The row groups that may have events in `range`.
    pub fn groups(self: &Arc<Opened>, range: (Timestamp, Timestamp)) -> Result<Vec<Group>, ArchiveError> {
        let mut groups = Vec::new();
        for (number, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let bounds = |column| self.bounds(group, column);
            let ((partition, _), (first, last)) = (bounds(PARTITION)?, bounds(OFFSET)?);
            let (earliest, latest) = bounds(TIMESTAMP)?;
            if earliest < range.1.0 && latest >= range.0.0 {
                groups.push(Group {
                    file: Arc::clone(self),
                    number,
                    partition: partition as i32,
                    first: first as u64,
                    last: last as u64,
                    rows: group.num_rows() as u64,
                    bytes: group.compressed_size() as u64,
                });
            }
        }
        Ok(groups)
    }

    /// Whether one of these filters may hold for some event of a row group, or some event is dated too far ahead and so is to be told
    /// of. `times` is the field that the column of times was made of as it is.
    pub fn may_hold(&self, group: &Group, filters: &[Expr], times: Option<&Path>) -> bool {
        let metadata = self.metadata.metadata().row_group(group.number);
        let statistics = |name: &str| {
            let column = metadata.columns().iter().find(|column| column.column_path().string() == name);
            column.and_then(|column| column.statistics())
        };
        let nulls = |name: &str| statistics(name).and_then(Statistics::null_count_opt);
        if nulls(ARRIVED) != Some(group.rows) {
            return true;
        }
        let known = |path: &Path| {
            if times == Some(path) {
                let (least, greatest) = self.bounds(metadata, TIMESTAMP).ok()?;
                return Some(Known { bounds: Some((Bound::Time(least), Bound::Time(greatest))), has_nulls: false });
            }
            let text = form::typed(std::slice::from_ref(path))?.first().copied().filter(|&text| self.is_exact[text])?;
            let Some(Statistics::ByteArray(of)) = statistics(TEXTS[text]) else { return None };
            let bounds = of.min_bytes_opt().zip(of.max_bytes_opt());
            let bounds = bounds.map(|(least, greatest)| (Bound::Text(least), Bound::Text(greatest)));
            let nulls = of.null_count_opt()?;
            // Where there are values, their bounds must be known.
            (bounds.is_some() != (nulls == group.rows)).then_some(Known { bounds, has_nulls: nulls > 0 })
        };
        filters.iter().any(|filter| prune::may_hold(filter, &known))
    }

    /// The least and the greatest value that a column has in a row group.
    fn bounds(&self, group: &RowGroupMetaData, name: &'static str) -> Result<(i64, i64), ArchiveError> {
        let missing = || ArchiveError::Column { path: self.path(), column: name };
        let column = group.columns().iter().find(|column| column.column_path().string() == name);
        let bounds = match column.and_then(|column| column.statistics()) {
            Some(Statistics::Int32(of)) => of.min_opt().zip(of.max_opt()).map(|(&min, &max)| (min.into(), max.into())),
            Some(Statistics::Int64(of)) => of.min_opt().zip(of.max_opt()).map(|(&min, &max)| (min, max)),
            _ => None,
        };
        bounds.ok_or_else(missing)
    }
}

/// What was read of one unit, row by row, before it is put in order.
#[derive(Default)]
struct Gathered {
    rows: Vec<Row>,
    text: Vec<u8>,
    /// By wanted column.
    columns: Vec<Column>,
    lines: Vec<(usize, usize)>,
}

#[derive(Clone, Copy)]
struct Row {
    offset: u64,
    time: Timestamp,
    seen_until: Timestamp,
    /// When it arrived, if it was dated too far ahead of that. Else its own time: it isn't judged again.
    arrived: Timestamp,
    /// Its place in the columns.
    place: u32,
}

impl Unit {
    fn read_all(&self) -> Result<Delivered, ArchiveError> {
        let columns = self
            .wish
            .columns
            .as_deref()
            .filter(|wanted| wanted.iter().all(|&text| self.groups.iter().all(|group| group.file.is_exact[text])));
        let mut gathered = Gathered::default();
        gathered.columns.resize_with(columns.map_or(0, <[usize]>::len), Column::new);
        for of_file in self.groups.chunk_by(|a, b| Arc::ptr_eq(&a.file, &b.file)) {
            let file = &of_file[0].file;
            let (handle, path) = (litter::open_named(&file.archive, &file.name)?, file.path());
            let texts = columns.map(|wanted| wanted.iter().map(|&text| TEXTS[text]).collect::<Vec<_>>());
            let names = [TIMESTAMP, OFFSET, SEEN_UNTIL, ARRIVED].into_iter().chain(texts.unwrap_or(vec![EVENT]));
            let mask = ProjectionMask::columns(file.metadata.parquet_schema(), names);
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, file.metadata.clone())
                .with_row_groups(of_file.iter().map(|group| group.number).collect())
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS)
                .build()
                .map_err(ArchiveError::parquet("read", &path))?;
            for batch in reader {
                let batch = batch.map_err(|error| ArchiveError::parquet("read", &path)(error.into()))?;
                self.gather(&path, &batch, columns, &mut gathered)?;
            }
        }
        if !gathered.rows.is_sorted_by_key(|row| row.offset) {
            gathered.rows.sort_by_key(|row| row.offset);
        }
        Ok(match columns {
            Some(_) => Delivered::Batch(Box::new(self.batch(gathered))),
            None => Delivered::Block(self.block(&gathered)),
        })
    }

    /// Takes the rows of one batch that are wanted.
    fn gather(
        &self,
        path: &std::path::Path,
        batch: &RecordBatch,
        columns: Option<&[usize]>,
        gathered: &mut Gathered,
    ) -> Result<(), ArchiveError> {
        let named = |column: &'static str| {
            batch.column_by_name(column).ok_or_else(|| ArchiveError::Column { path: path.to_path_buf(), column })
        };
        let other = |column| move || ArchiveError::Column { path: path.to_path_buf(), column };
        let times = named(TIMESTAMP)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(other(TIMESTAMP))?;
        let offsets = named(OFFSET)?.as_primitive_opt::<Int64Type>().ok_or_else(other(OFFSET))?;
        let seen = named(SEEN_UNTIL)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(other(SEEN_UNTIL))?;
        let arrived = named(ARRIVED)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(other(ARRIVED))?;
        let (times, offsets) = (times.values(), offsets.values());
        let base = gathered.columns.first().map_or(gathered.lines.len(), Column::len);
        for row in 0..batch.num_rows() {
            let (offset, time) = (offsets[row] as u64, Timestamp(times[row]));
            let is_wanted = self.offsets.0 <= offset && offset < self.offsets.1;
            if is_wanted && self.wish.range.0 <= time && time < self.wish.range.1 {
                let seen_until = if seen.is_null(row) { Timestamp::MIN } else { Timestamp(seen.value(row)) };
                let arrived = if arrived.is_null(row) { time } else { Timestamp(arrived.value(row)) };
                gathered.rows.push(Row { offset, time, seen_until, arrived, place: (base + row) as u32 });
            }
        }
        let Some(columns) = columns else {
            let lines = named(EVENT)?.as_string_opt::<i32>().ok_or_else(other(EVENT))?;
            let start = gathered.text.len();
            gathered.text.extend_from_slice(lines.value_data());
            let bounds = lines.value_offsets().windows(2);
            gathered.lines.extend(bounds.map(|two| (start + two[0] as usize, (two[1] - two[0]) as usize)));
            return Ok(());
        };
        for (&text, column) in columns.iter().zip(&mut gathered.columns) {
            let texts = named(TEXTS[text])?.as_string_opt::<i32>().ok_or_else(other(TEXTS[text]))?;
            let start = gathered.text.len();
            gathered.text.extend_from_slice(texts.value_data());
            for (row, two) in texts.value_offsets().windows(2).enumerate() {
                match texts.is_null(row) {
                    true => column.push(Tag::Null, 0),
                    false => column.push(Tag::Text, slot(start + two[0] as usize, (two[1] - two[0]) as usize)),
                }
            }
        }
        Ok(())
    }

    /// The rows as lines.
    fn block(&self, gathered: &Gathered) -> Block {
        let line = |row: &Row| gathered.lines[row.place as usize];
        let length: usize = gathered.rows.iter().map(|row| line(row).1 + 1).sum();
        let mut bytes = Vec::with_capacity(length + ROOM);
        for row in &gathered.rows {
            let (start, length) = line(row);
            bytes.extend_from_slice(&gathered.text[start..start + length]);
            bytes.push(b'\n');
        }
        Block {
            partition: self.partition,
            // Of an archived line nothing stands before its text.
            offset: self.offsets.0.max(1),
            from: 0,
            arrival: self.arrival,
            stamps: Some(self.stamps(gathered)),
            bytes,
        }
    }

    /// The rows as columns.
    fn batch(&self, gathered: Gathered) -> EventBatch {
        let stamps = self.stamps(&gathered);
        let Gathered { rows, text, columns, .. } = gathered;
        let is_whole = columns.iter().all(|column| column.len() == rows.len())
            && rows.iter().enumerate().all(|(number, row)| row.place as usize == number);
        let picked = |column: Column| match is_whole {
            true => column,
            false => Column {
                tags: rows.iter().map(|row| column.tags[row.place as usize]).collect(),
                bits: rows.iter().map(|row| column.bits[row.place as usize]).collect(),
            },
        };
        EventBatch {
            partition: self.partition,
            offset: self.offsets.0,
            stamps: Some(stamps),
            line: 0,
            text,
            times: rows.iter().map(|row| row.time).collect(),
            spans: (0..rows.len() as u32).map(|line| LineSpan { start: 0, len: 0, line }).collect(),
            columns: columns.into_iter().map(picked).collect(),
            rejects: Vec::new(),
            in_band: Vec::new(),
            lines: rows.len() as u32,
            blank: 0,
            result_lines: Vec::new(),
        }
    }

    fn stamps(&self, gathered: &Gathered) -> Arc<[Stamp]> {
        let stamp = |row: &Row| Stamp { offset: row.offset, time: row.arrived, seen_until: row.seen_until };
        gathered.rows.iter().map(stamp).collect()
    }
}

impl Deferred for Unit {
    fn partition(&self) -> PartitionId {
        self.partition
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(self: Box<Self>) -> Result<Delivered, SourceError> {
        self.read_all().map_err(|error| SourceError::Archive { name: self.name.to_string(), source: Box::new(error) })
    }
}
