//! Files of parquet.

use std::{fs::File, path::Path, sync::Arc};

use parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

/// The values of a column of a parquet file.
pub enum Column<'a> {
    Texts(&'a [&'a str]),
    Integers(&'a [i64]),
    Floats(&'a [f64]),
    Truths(&'a [bool]),
    /// Lists of texts inside a group, both optional, as the hub writes them.
    Lists(&'a [&'a [&'a str]]),
}

/// The schema of the hub's multiple choice.
pub const CHOICES: &str = "message schema {
    optional binary id (UTF8);
    optional binary question (UTF8);
    optional group choices {
        optional group text (LIST) { repeated group list { optional binary element (UTF8); } }
        optional group label (LIST) { repeated group list { optional binary element (UTF8); } }
    }
    optional binary answerKey (UTF8);
}";

/// Writes a parquet file; all fields of the schema are optional.
pub fn write_parquet(path: &Path, schema: &str, columns: &[Column<'_>]) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in columns {
        let mut out = group.next_column().unwrap().unwrap();
        let levels = |rows: usize| vec![1_i16; rows];
        match column {
            Column::Texts(texts) => {
                let texts: Vec<ByteArray> = texts.iter().map(|&text| text.into()).collect();
                out.typed::<ByteArrayType>().write_batch(&texts, Some(&levels(texts.len())), None).unwrap()
            }
            Column::Integers(values) => {
                out.typed::<Int64Type>().write_batch(values, Some(&levels(values.len())), None).unwrap()
            }
            Column::Floats(values) => {
                out.typed::<DoubleType>().write_batch(values, Some(&levels(values.len())), None).unwrap()
            }
            Column::Truths(values) => {
                out.typed::<BoolType>().write_batch(values, Some(&levels(values.len())), None).unwrap()
            }
            Column::Lists(lists) => {
                let texts: Vec<ByteArray> =
                    lists.iter().flat_map(|list| list.iter().map(|&text| text.into())).collect();
                let first = |list: &&[&str]| (0..list.len()).map(|i| i16::from(i > 0)).collect::<Vec<_>>();
                let repetitions: Vec<i16> = lists.iter().flat_map(first).collect();
                out.typed::<ByteArrayType>()
                    .write_batch(&texts, Some(&vec![4; texts.len()]), Some(&repetitions))
                    .unwrap()
            }
        };
        out.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}
