//! An ONNX file of ours, computed by rten.

use std::{num::NonZeroUsize, panic::resume_unwind, sync::Arc, thread};

use half::f16;
use malaria_dataset::Cells;
use prost::Message;
use rten_tensor::{AsView, Layout, NdTensor};

use crate::{
    Description, Error, Origin, Result,
    export::{About, KEY, OUTPUT},
    onnx::{self, FLOAT, FLOAT16, INT8},
};

/// Cells that a thread computes between two words of progress.
const CELLS: usize = 8;

/// A model that is ready to be asked.
///
/// Cells are computed one by one, which measured faster than batches on one thread (116 against 103 a second with the tutorial's
/// network), and each core takes cells of its own, which measured faster than sharing each (232 against 171).
pub struct Model {
    network: rten::Model,
    about: About,
    positive: usize,
    /// One thread each, and one for each core: the runtime would share a cell among all otherwise.
    cores: Vec<Arc<rten::ThreadPool>>,
}

impl Model {
    /// Makes a model of an ONNX file that [`export`](crate::export) has written. Weights in float16 or int8 are expanded to
    /// float32.
    ///
    /// # Errors
    /// [`Error::Model`] for a file of another kind or origin, or one that is damaged.
    pub fn load(onnx: &[u8]) -> Result<Self> {
        Self::decode(onnx).map_err(|reason| Error::Model { reason })
    }

    fn decode(onnx: &[u8]) -> Result<Self, String> {
        let mut file = onnx::Model::decode(onnx).map_err(|_| "it is no ONNX file, or a damaged one")?;
        let about = file.metadata_props.iter().find(|property| property.key == KEY);
        let about = about.ok_or_else(|| format!("no `{KEY}` in its metadata"))?;
        let about: About = serde_json::from_str(&about.value)
            .map_err(|error| format!("its description under `{KEY}`: {error}"))?;
        let positive = about.description.check()?;
        let graph = file.graph.as_mut().ok_or("it holds no graph")?;
        onnx::check(graph)?;
        expand(graph)?;
        let network = rten::Model::load(file.encode_to_vec()).map_err(|error| error.to_string())?;
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let cores = (0..cores).map(|_| Arc::new(rten::ThreadPool::with_num_threads(1))).collect();
        Ok(Self { network, about, positive, cores })
    }

    /// What the model says of itself.
    pub fn description(&self) -> &Description {
        &self.about.description
    }

    /// Where the file comes from.
    pub fn origin(&self) -> &Origin {
        &self.about.origin
    }

    /// Index of the positive class.
    pub fn positive(&self) -> usize {
        self.positive
    }

    /// What the network says of the `cells` at `indices`: the probability of each class, `[indices, classes]` row by row.
    /// `progress` hears the number of cells done.
    ///
    /// # Errors
    /// [`Error::CellSize`] for cells of another size than the network takes, [`Error::Run`] when the runtime fails.
    ///
    /// # Panics
    /// Where an index is not below the number of cells, as slices do.
    pub fn probabilities(
        &self,
        cells: &Cells,
        indices: &[usize],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<f64>> {
        let expected = self.description().image.pixels;
        if cells.size() != expected {
            return Err(Error::CellSize { expected, found: cells.size() });
        }
        let mut probabilities = Vec::with_capacity(indices.len() * self.description().classes.len());
        let mut done = 0;
        for batch in indices.chunks(CELLS * self.cores.len()) {
            probabilities.extend(self.shared_out(cells, batch).map_err(|reason| Error::Run { reason })?);
            done += batch.len();
            progress(done);
        }
        Ok(probabilities)
    }

    /// Each core takes its share of `batch`; where there are fewer cells than cores, all cores share each cell.
    fn shared_out(&self, cells: &Cells, batch: &[usize]) -> Result<Vec<f64>, String> {
        let in_turn = |part: &[usize], core: Option<&Arc<rten::ThreadPool>>| -> Result<Vec<f64>, String> {
            let mut said = Vec::new();
            for &cell in part {
                said.extend(self.run(cells, cell, core)?);
            }
            Ok(said)
        };
        if batch.len() < self.cores.len() {
            return in_turn(batch, None);
        }
        let share = batch.len().div_ceil(self.cores.len());
        thread::scope(|scope| {
            let parts = batch.chunks(share).zip(&self.cores);
            let parts: Vec<_> =
                // Within its pool, so that the runtime need not wake another thread for every cell.
                parts.map(|(part, core)| scope.spawn(move || core.run(|| in_turn(part, Some(core))))).collect();
            let mut said = Vec::new();
            for part in parts {
                said.extend(part.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok(said)
        })
    }

    /// The probability of each class for one cell, on a core of its own or on all.
    fn run(
        &self,
        cells: &Cells,
        cell: usize,
        core: Option<&Arc<rten::ThreadPool>>,
    ) -> Result<Vec<f64>, String> {
        let side = cells.size() as usize;
        let mut image = NdTensor::<f32, 4>::zeros([1, 3, side, side]);
        let values = image.data_mut().ok_or("the image does not lie in one piece")?;
        // Pixel by pixel to channel by channel.
        for (channel, plane) in values.chunks_mut(side * side).enumerate() {
            let bytes = cells.cell(cell).iter().skip(channel).step_by(3);
            plane.iter_mut().zip(bytes).for_each(|(value, &byte)| *value = f32::from(byte) / 255.0);
        }
        let options = core.map(|core| rten::RunOptions::default().with_thread_pool(Some(core.clone())));
        let said = self.network.run_one(image.into(), options).map_err(|error| error.to_string())?;
        let said: NdTensor<f32, 2> = said.try_into().map_err(|error| format!("{OUTPUT}: {error}"))?;
        if said.shape() != [1, self.description().classes.len()] {
            return Err(format!("{OUTPUT}: unexpected shape {:?}", said.shape()));
        }
        let said: Vec<f64> = said.iter().map(|&value| f64::from(value)).collect();
        if said.iter().any(|value| !value.is_finite()) {
            return Err(format!(
                "{OUTPUT}: values that are no numbers; its weights are too large, or damaged"
            ));
        }
        Ok(said)
    }
}

/// Puts float32 weights in the place of the nodes that would make them of smaller ones.
fn expand(graph: &mut onnx::Graph) -> Result<(), String> {
    let mut expanded = Vec::new();
    let nodes = std::mem::take(&mut graph.node);
    for node in nodes {
        let stored = |place: usize| {
            let name = node.input.get(place)?;
            graph.initializer.iter().find(|tensor| tensor.name == *name)
        };
        let (Some(weights), [output]) = (stored(0), &node.output[..]) else {
            graph.node.push(node);
            continue;
        };
        let values: Vec<f32> = match (node.op_type.as_str(), weights.data_type) {
            ("Cast", FLOAT16) => weights
                .raw_data
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| f16::from_le_bytes(bytes).to_f32())
                .collect(),
            ("DequantizeLinear", INT8) => {
                let scales = stored(1).ok_or_else(|| format!("`{output}` has no scales"))?;
                let scales = scales.raw_data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
                let scales: Vec<f32> = scales.collect();
                let channel = weights.raw_data.len().checked_div(scales.len()).unwrap_or(0).max(1);
                let channels = weights.raw_data.chunks(channel).zip(scales);
                channels
                    .flat_map(|(bytes, scale)| {
                        bytes.iter().map(move |byte| f32::from(byte.cast_signed()) * scale)
                    })
                    .collect()
            }
            _ => {
                graph.node.push(node);
                continue;
            }
        };
        expanded.push(onnx::Tensor {
            dims: weights.dims.clone(),
            data_type: FLOAT,
            name: output.clone(),
            raw_data: values.into_iter().flat_map(f32::to_le_bytes).collect(),
        });
    }
    let used: std::collections::HashSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
    graph.initializer.retain(|tensor| used.contains(&tensor.name));
    graph.initializer.append(&mut expanded);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the fixture with something else in it.
    fn refusal(spoil: impl FnOnce(&mut onnx::Model)) -> String {
        let sound = include_bytes!("../tests/fixtures/tiny-f32.onnx");
        let mut file = onnx::Model::decode(sound.as_slice()).unwrap();
        spoil(&mut file);
        Model::load(&file.encode_to_vec()).err().unwrap().to_string()
    }

    #[test]
    fn networks_that_no_export_writes_are_refused_before_the_runtime_has_them() {
        type Spoil = fn(&mut onnx::Graph);
        let cases: [(&str, Spoil); 6] = [
            // Makes as many numbers as the file says.
            ("operator `ConstantOfShape`", |graph| graph.node[1].op_type = "ConstantOfShape".to_owned()),
            ("`pads` [1000000000", |graph| graph.node[1].attribute[1].ints[0] = 1_000_000_000),
            ("`strides` [0", |graph| graph.node[1].attribute[2].ints[0] = 0),
            ("`group` [0]", |graph| graph.node[1].attribute.push(onnx::Attribute::int("group", 0))),
            ("bytes are no [9223372036854775807, ", |graph| {
                graph.initializer.iter_mut().find(|tensor| tensor.dims.len() == 4).unwrap().dims[0] =
                    i64::MAX;
            }),
            ("found type 8", |graph| graph.initializer[0].data_type = 8),
        ];
        for (words, spoil) in cases {
            let said = refusal(|file| spoil(file.graph.as_mut().unwrap()));
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn pictures_are_not_made_larger_than_cells_can_be() {
        let said = refusal(|file| {
            let about = file.metadata_props.iter_mut().find(|property| property.key == KEY).unwrap();
            about.value = about.value.replace("\"pixels\":32", "\"pixels\":4294967295");
        });
        assert!(said.contains("4294967295 px a side"), "{said}");
    }

    #[test]
    fn what_is_no_number_is_no_probability() {
        let mut file =
            onnx::Model::decode(include_bytes!("../tests/fixtures/tiny-f32.onnx").as_slice()).unwrap();
        for tensor in &mut file.graph.as_mut().unwrap().initializer {
            tensor.raw_data.chunks_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
        }
        let model = Model::load(&file.encode_to_vec()).unwrap();
        let cells = Cells::from_pixels(32, vec![7; 32 * 32 * 3]).unwrap();
        let said = model.probabilities(&cells, &[0], &mut |_| {}).unwrap_err().to_string();
        assert!(said.contains("no numbers"), "{said}");
    }
}
