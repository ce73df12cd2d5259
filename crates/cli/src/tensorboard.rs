//! Event files for TensorBoard.
//!
//! A file is a sequence of records: the length, its checksum, an `Event`, its checksum. Source of both formats: TensorFlow's
//! `tensorflow/core/lib/io/record_writer.h` and `tensorflow/core/util/event.proto`, of which only the fields used here are
//! declared.

use std::{collections::HashSet, path::Path};

use anyhow::{Result, ensure};
use malaria_resnet::{Comparison, train::EpochRecord};
use prost::Message;

/// Prefix of the names of files that TensorBoard reads.
const FILE: &str = "events.out.tfevents.malaria";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// Writes the metrics by epoch of each compared run to a folder in `folder` with the name of the run's folder.
pub(crate) fn write_events(comparison: &Comparison, folder: &Path) -> Result<()> {
    let mut names = HashSet::new();
    for run in &comparison.runs {
        let name = run.path.canonicalize()?.file_name().map(ToOwned::to_owned).unwrap_or_default();
        ensure!(
            names.insert(name.clone()),
            "{}: another run has the same name: write their events to different folders",
            run.path.display()
        );
        let place = folder.join(name);
        let failed = malaria_files::Error::io("write", &place);
        std::fs::create_dir_all(&place)
            .and_then(|()| malaria_files::write(&place.join(FILE), &encode(&run.history)))
            .map_err(failed)?;
    }
    Ok(())
}

/// The records of all epochs. Time starts at 0.
fn encode(history: &[EpochRecord]) -> Vec<u8> {
    let version = Event { file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
    let mut bytes = record(&version);
    let mut wall_time = 0.0;
    for epoch in history {
        wall_time += epoch.seconds;
        let values = [
            ("loss/train", Some(epoch.train_loss)),
            ("loss/validation", epoch.validation_loss),
            ("accuracy/train", Some(epoch.train_accuracy)),
            ("accuracy/validation", epoch.validation_accuracy),
            ("learning_rate", Some(epoch.learning_rate)),
        ];
        let value = |(tag, value): (&str, Option<f64>)| {
            Some(Value { tag: tag.to_owned(), simple_value: Some(value? as f32) })
        };
        let summary = Summary { value: values.into_iter().filter_map(value).collect() };
        let step = i64::try_from(epoch.epoch).unwrap_or(i64::MAX);
        bytes.extend(record(&Event { wall_time, step, file_version: None, summary: Some(summary) }));
    }
    bytes
}

fn record(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), &data, &checksum(&data)].concat()
}

/// The masked CRC-32C of TensorFlow's records.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_tensorflow() {
        // Made by `tools/check_tensorboard.py --record`.
        let version = Event { file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
        let expected = "0f000000000000006d532b091a0d627261696e2e4576656e743a32fc985129";
        assert_eq!(base16ct::lower::encode_string(&record(&version)), expected);
    }
}
