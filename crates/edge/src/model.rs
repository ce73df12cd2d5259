//! An ONNX file of ours, computed by rten.

use std::{num::NonZeroUsize, panic::resume_unwind, path::PathBuf, sync::Arc, thread};

use malaria_classifier::{Description, EncodedImage, Prediction, classify, classify_encoded};
use malaria_dataset::Cells;
use prost::Message;
use rten_tensor::{AsView, Layout, NdTensor};

use crate::{
    error::{Error, Result},
    expand::expand,
    export::{ModelMetadata, Origin, check_digest},
    format::{KEY, OUTPUT},
    onnx,
};

/// Cells that a thread computes between two words of progress.
const CELLS: usize = 8;

/// A model that is ready to be asked.
///
/// Cells are computed one by one, which measured faster than batches on one thread (116 against 103 a second with the tutorial's
/// network), and each core takes cells of its own, which measured faster than sharing each (232 against 171).
pub struct Model {
    network: rten::Model,
    about: ModelMetadata,
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
        let mut file = onnx::Model::decode(onnx)
            .map_err(|error| format!("it is no ONNX file, or a damaged one: {error}"))?;
        let about = file.metadata_props.iter().find(|property| property.key == KEY);
        let about = about.ok_or_else(|| format!("no `{KEY}` in its metadata"))?;
        let about = ModelMetadata::read(&about.value)
            .map_err(|error| format!("its description under `{KEY}`: {error}"))?;
        check_digest(&file, onnx)?;
        let positive = about.description.check().map_err(|error| error.to_string())?;
        let graph = file.graph.as_mut().ok_or("it holds no graph")?;
        onnx::check(graph)?;
        expand(graph)?;
        onnx::check_data(graph)?;
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

    /// Classifies pictures in the order of their `files`, as [`list_images`](malaria_dataset::list_images) gives them. `progress`
    /// hears how many are done, and of how many.
    ///
    /// A picture that cannot be read gives a [`Prediction`] that says why, and does not keep the others from theirs.
    ///
    /// # Errors
    /// [`Error::Run`] when the runtime fails.
    pub fn classify(
        &self,
        files: &[PathBuf],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Prediction>> {
        classify(self.description(), self.positive, files, |cells| self.said(cells), progress)
    }

    /// [`Model::classify`] for pictures that are in memory, such as those that somebody has sent. One with a side of more than
    /// `longest_side` pixels counts as one that cannot be read.
    ///
    /// # Errors
    /// [`Error::Run`] when the runtime fails.
    pub fn classify_encoded(&self, pictures: &[EncodedImage], longest_side: u32) -> Result<Vec<Prediction>> {
        classify_encoded(self.description(), self.positive, pictures, longest_side, |cells| self.said(cells))
    }

    /// [`Model::probabilities`] of all the cells.
    fn said(&self, cells: &Cells) -> Result<Vec<f64>> {
        let all: Vec<usize> = (0..cells.len()).collect();
        self.probabilities(cells, &all, &mut |_| {})
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{format::WeightFormat, onnx::FLOAT16};

    fn fixture(format: WeightFormat) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        std::fs::read(format!("{folder}/tiny-{format}.onnx")).unwrap()
    }

    /// The same without its digest, to be changed.
    fn unsealed(format: WeightFormat) -> onnx::Model {
        let mut file = onnx::Model::decode(&*fixture(format)).unwrap();
        assert_eq!(file.metadata_props.pop().unwrap().key, "malaria-resnet.sha256");
        file
    }

    /// What is said of the fixture with something else in it.
    fn refusal(format: WeightFormat, spoil: impl FnOnce(&mut onnx::Model)) -> String {
        let mut file = unsealed(format);
        spoil(&mut file);
        Model::load(&file.encode_to_vec()).err().unwrap().to_string()
    }

    /// The tensor `name`.
    fn tensor<'a>(graph: &'a mut onnx::Graph, name: &str) -> &'a mut onnx::Tensor {
        graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    /// What a change of a fixture's description makes of it.
    fn described(good: &str, bad: &str) -> onnx::Model {
        let mut file = unsealed(WeightFormat::F32);
        let about = file.metadata_props.iter_mut().find(|property| property.key == KEY).unwrap();
        assert!(about.value.contains(good), "{good}: {}", about.value);
        about.value = about.value.replace(good, bad);
        file
    }

    #[test]
    fn a_turned_bit_is_noticed_wherever_it_is() {
        let sealed = fixture(WeightFormat::Int8);
        let written = unsealed(WeightFormat::Int8).encoded_len();
        for at in (0..written).step_by(41).chain(written - 2000..written) {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(Model::load(&damaged).is_err(), "byte {at}");
        }
        let mut damaged = sealed.clone();
        let weight = unsealed(WeightFormat::Int8).graph.unwrap().initializer.swap_remove(0).raw_data;
        let at = sealed.windows(weight.len()).position(|found| found == weight).unwrap();
        damaged[at] ^= 1;
        let said = Model::load(&damaged).err().unwrap().to_string();
        assert!(said.contains("copy it again"), "{said}");

        Model::load(&sealed).unwrap();
        // Without its digest it is any other file.
        Model::load(&unsealed(WeightFormat::Int8).encode_to_vec()).unwrap();
    }

    #[test]
    fn networks_that_no_export_writes_are_refused_before_the_runtime_has_them() {
        type Spoil = fn(&mut onnx::Graph);
        let cases: [(&str, Spoil); 8] = [
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
            // Would be computed when the file is loaded, whatever becomes of it.
            ("found the tensor `stem.conv.weight`", |graph| {
                graph.node[1].input.swap(0, 1);
            }),
            ("found the tensor `head.dense.bias`", |graph| {
                let add = graph.node.iter_mut().find(|node| node.op_type == "Add").unwrap();
                add.input[1] = "head.dense.bias".to_owned();
            }),
        ];
        for (words, spoil) in cases {
            let said = refusal(WeightFormat::F32, |file| spoil(file.graph.as_mut().unwrap()));
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn small_weights_that_no_export_writes_are_refused() {
        type Spoil = fn(&mut onnx::Graph);
        let cases: [(&str, Spoil); 7] = [
            // Each reader would have a float32 copy.
            ("weights that no other node reads", |graph| {
                let mut second = graph.node[1].clone();
                second.output[0] = "second".to_owned();
                graph.node.push(second);
            }),
            ("`axis` 0", |graph| graph.node[1].attribute[0].i = 1),
            // ONNX's default is another axis.
            ("`axis` 0", |graph| graph.node[1].attribute.clear()),
            ("zero points of 0", |graph| tensor(graph, "stem.conv.weight.zero").raw_data[3] = 1),
            ("an int8 zero point", |graph| drop(graph.node[1].input.pop())),
            ("a float32 scale", |graph| {
                let scales = tensor(graph, "stem.conv.weight.scale");
                scales.data_type = FLOAT16;
                scales.raw_data.truncate(2 * scales.dims[0] as usize);
            }),
            ("a float32 scale", |graph| {
                let scales = tensor(graph, "stem.conv.weight.scale");
                scales.dims[0] -= 1;
                scales.raw_data.truncate(4 * scales.dims[0] as usize);
            }),
        ];
        for (words, spoil) in cases {
            let said = refusal(WeightFormat::Int8, |file| spoil(file.graph.as_mut().unwrap()));
            assert!(said.contains("`stem.conv.weight`") && said.contains(words), "{words}: {said}");
        }
        let said = refusal(WeightFormat::F16, |file| {
            let graph = file.graph.as_mut().unwrap();
            let second = graph.node[1].clone();
            graph.node.push(second);
        });
        assert!(said.contains("weights that no other node reads"), "{said}");
    }

    #[test]
    fn descriptions_that_make_no_sense_are_refused_by_the_name_of_the_field() {
        let both = r#"["Parasitized","Uninfected"]"#;
        for (good, bad, words) in [
            (both, r#"["Parasitized"]"#, r#"`classes`: expected two or more, found ["Parasitized"]"#),
            (both, r#"["a","b"]"#, r#"`positive`: expected one of ["a", "b"], found `Parasitized`"#),
            // Pictures are not made larger than cells can be.
            (r#""pixels":32"#, r#""pixels":4294967295"#, "found cells of 4294967295 px a side"),
            (
                r#""temperature":0.6"#,
                r#""temperature":-0.6"#,
                "`temperature`: expected a number above 0, found -0.6",
            ),
            (
                r#"{"format":2,"classes""#,
                r#"{"format":3,"types""#,
                "expected format version 2, found 3: a later version",
            ),
            (r#"{"format":2,"#, "{", "expected format version 2, found 1: an earlier version"),
        ] {
            let said = Model::load(&described(good, bad).encode_to_vec()).err().unwrap().to_string();
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn what_is_no_number_is_no_probability() {
        let mut file = unsealed(WeightFormat::F32);
        for tensor in &mut file.graph.as_mut().unwrap().initializer {
            tensor.raw_data.chunks_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
        }
        let model = Model::load(&file.encode_to_vec()).unwrap();
        let cells = Cells::from_pixels(32, vec![7; 32 * 32 * 3]).unwrap();
        let said = model.probabilities(&cells, &[0], &mut |_| {}).unwrap_err().to_string();
        assert!(said.contains("no numbers"), "{said}");
    }
}
