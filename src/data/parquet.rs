//! Parquet: a row a document, in a column of strings; row group by row group, a few rows at a time.

use std::fs::File;

use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use super::corpus::Documents;
use super::guarded;
use crate::error::{Context, Error, Result};

/// Rows read at once.
const ROWS: usize = 256;

/// Reads the column `column` of every row as a document. `progress` hears how many bytes of the file are done.
pub fn read_parquet(
    name: &str,
    file: File,
    column: &str,
    documents: &mut impl Documents,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let malformed = |e: ParquetError| Error::data(format!("{name}: not a parquet file: {e}"));
    let reader = guarded(name, || SerializedFileReader::new(file).map_err(malformed))?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let index = find(schema, column).at(name)?;
    let (mut first_row, mut done) = (0u64, 0u64);
    for group in 0..reader.num_row_groups() {
        let rows = guarded(name, || {
            let group = reader.get_row_group(group).map_err(malformed)?;
            done += u64::try_from(group.metadata().compressed_size()).unwrap_or(0);
            group.get_column_reader(index).map_err(malformed)
        })?;
        first_row += read_rows(name, rows, first_row, documents)?;
        progress(done);
    }
    Ok(())
}

/// The place of a column of strings, one a row, among the leaves of the schema.
fn find(schema: &SchemaDescriptor, column: &str) -> Result<usize> {
    let leaves = schema.columns();
    let index = leaves.iter().position(|leaf| leaf.path().string() == column);
    let Some(index) = index else {
        let names: Vec<String> = leaves.iter().take(16).map(|l| l.path().string()).collect();
        return Err(Error::data(format!("no column {column:?}; there are {}", names.join(", ")))
            .hint("--text-field names the column that holds the text"));
    };
    let leaf = &leaves[index];
    if leaf.physical_type() != Type::BYTE_ARRAY || leaf.max_rep_level() != 0 {
        return Err(Error::data(format!(
            "column {column}: expected a string a row, found {}{}",
            if leaf.max_rep_level() == 0 { "" } else { "a list of " },
            leaf.physical_type()
        )));
    }
    Ok(index)
}

fn read_rows(name: &str, rows: ColumnReader, first_row: u64, documents: &mut impl Documents) -> Result<u64> {
    let ColumnReader::ByteArrayColumnReader(mut rows) = rows else {
        return Err(Error::data(format!("{name}: the column changes its type")));
    };
    let (mut count, mut levels, mut values) = (0u64, Vec::new(), Vec::<ByteArray>::new());
    loop {
        levels.clear();
        values.clear();
        let read = guarded(name, || {
            rows.read_records(ROWS, Some(&mut levels), None, &mut values)
                .map_err(|e| Error::data(format!("{name}: after row {}: {e}", first_row + count)))
        })?;
        let (records, present, _) = read;
        if records == 0 {
            return Ok(count);
        }
        if present != records || values.len() != records {
            return Err(Error::data(format!(
                "{name}: rows {} to {}: expected a text in each, found {} nulls",
                first_row + count,
                first_row + count + records as u64 - 1,
                records.saturating_sub(present)
            )));
        }
        for value in &values {
            let text = std::str::from_utf8(value.data()).map_err(|e| {
                Error::data(format!("{name}: row {}: not UTF-8 at byte {}", first_row + count, e.valid_up_to()))
            })?;
            documents.text(text.as_bytes()).at(name)?;
            documents.end().at(name)?;
            count += 1;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Seek, Write};
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::ByteArrayType;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::data::corpus::Collected;
    use crate::error::Kind;

    /// A parquet file with a row group for every `rows` texts.
    pub fn write(texts: &[Option<&str>], rows: usize, compression: Compression) -> Vec<u8> {
        let schema = "message m { required int64 id; optional binary text (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
        for texts in texts.chunks(rows) {
            let mut group = writer.next_row_group().unwrap();
            let mut ids = group.next_column().unwrap().unwrap();
            let numbers: Vec<i64> = (0..texts.len() as i64).collect();
            ids.typed::<parquet::data_type::Int64Type>().write_batch(&numbers, None, None).unwrap();
            ids.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<ByteArray> = texts.iter().flatten().map(|t| (*t).into()).collect();
            let levels: Vec<i16> = texts.iter().map(|t| t.is_some().into()).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
        bytes
    }

    fn read(bytes: &[u8], column: &str) -> Result<Vec<Vec<u8>>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let mut collected = Collected::default();
        read_parquet("c.parquet", file, column, &mut collected, &mut |_| ())?;
        Ok(collected.documents)
    }

    #[test]
    fn every_row_of_every_row_group_is_a_document() {
        let texts: Vec<String> = (0..1000).map(|i| format!("text {i}")).collect();
        let rows: Vec<Option<&str>> = texts.iter().map(|t| Some(t.as_str())).collect();
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
            let found = read(&write(&rows, 300, compression), "text").unwrap();
            let expected: Vec<Vec<u8>> = texts.iter().map(|t| t.clone().into_bytes()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_null_a_wrong_column_and_other_bytes_are_refused_by_name() {
        let bytes = write(&[Some("a"), None], 9, Compression::UNCOMPRESSED);
        for (bytes, column, part) in [
            (&bytes[..], "text", "rows 0 to 1: expected a text in each, found 1 nulls"),
            (&bytes[..], "body", "no column \"body\"; there are id, text"),
            (&bytes[..], "id", "column id: expected a string a row, found INT64"),
            (b"not parquet at all".as_slice(), "text", "not a parquet file"),
            (b"".as_slice(), "text", "not a parquet file"),
        ] {
            let error = read(bytes, column).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().starts_with("c.parquet: "), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_is_malformed_data_or_harmless_and_never_a_panic() {
        let texts = [Some("one text"), Some("another"), Some("a third")];
        let good = write(&texts, 2, Compression::SNAPPY);
        let mut rows = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            if let Err(error) = read(&bad, "text") {
                assert_eq!(error.kind(), Kind::Data, "byte {at}: {error}");
                rows += usize::from(error.to_string().starts_with("c.parquet: after row "));
            }
            if let Err(error) = read(&good[..at], "text") {
                assert_eq!(error.kind(), Kind::Data, "byte {at}: {error}");
            }
        }
        assert!(rows > 0, "a page is damaged too");
    }

    #[test]
    fn what_is_no_text_is_named_by_its_row_and_a_missing_column_has_a_hint() {
        let mut bytes = write(&[Some("one"), Some("two")], 9, Compression::UNCOMPRESSED);
        let at = bytes.windows(3).position(|three| three == b"two").unwrap();
        bytes[at + 1] = 0xff;
        let error = read(&bytes, "text").unwrap_err();
        assert_eq!(error.to_string(), "c.parquet: row 1: not UTF-8 at byte 1");
        let hint = read(&bytes, "body").unwrap_err();
        assert_eq!(hint.advice(), Some("--text-field names the column that holds the text"));
    }
}
