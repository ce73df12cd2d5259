//! Runs an exported model with rten.

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use image::RgbImage;
use malaria_classifier::{Description, EncodedImage, Prediction, classify, classify_encoded};
use malaria_dataset::{Cells, Fingerprint, ListedImage};
use malaria_smear::{CountOptions, FieldResult, SmearReport, analyse_field, count_smears};
use prost::Message;
use rten_tensor::{AsView, Layout, NdTensor};

use crate::{
    error::{Error, Result},
    expand::expand,
    export::{ModelMetadata, Origin, check_digest},
    onnx::{self, OUTPUT, PROJECT},
};

/// Cells per thread between two reports of progress.
const CELLS: usize = 8;

/// A loaded model.
///
/// Cells are computed one by one, which on one thread is faster than in batches (116 against 103 per second with the
/// tutorial's network). Each core computes different cells, which is faster than sharing every cell (232 against 171).
pub struct Model {
    network: rten::Model,
    metadata: ModelMetadata,
    sha256: String,
    positive: usize,
    /// One single-threaded pool per core, since the runtime would otherwise use all cores for each cell.
    cores: Vec<Arc<rten::ThreadPool>>,
}

impl Model {
    /// Loads an ONNX file that [`export`](crate::export) has written. Float16 and int8 weights are expanded to float32.
    ///
    /// # Errors
    /// [`Error::Model`] for a file of another kind or origin, or a damaged one.
    pub fn load(onnx: &[u8]) -> Result<Self> {
        Self::decode(onnx).map_err(|reason| Error::Model { reason })
    }

    fn decode(onnx: &[u8]) -> Result<Self, String> {
        let mut file = onnx::Model::decode(onnx)
            .map_err(|error| format!("it is not an ONNX file, or it is damaged: {error}"))?;
        let entry = file.metadata_props.iter().find(|property| property.key == PROJECT);
        let entry = entry.ok_or_else(|| format!("no `{PROJECT}` in its metadata"))?;
        let metadata = ModelMetadata::read(&entry.value)
            .map_err(|error| format!("its description under `{PROJECT}`: {error}"))?;
        check_digest(&file, onnx)?;
        let positive = metadata.description.check().map_err(|error| error.to_string())?;
        let graph = file.graph.as_mut().ok_or("it holds no graph")?;
        onnx::check(graph)?;
        expand(graph)?;
        onnx::check_data(graph)?;
        let network = rten::Model::load(file.encode_to_vec()).map_err(|error| error.to_string())?;
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let cores = (0..cores).map(|_| Arc::new(rten::ThreadPool::with_num_threads(1))).collect();
        Ok(Self { network, metadata, sha256: Fingerprint::of(onnx).hex(), positive, cores })
    }

    /// Classes, input size and decision threshold.
    pub fn description(&self) -> &Description {
        &self.metadata.description
    }

    /// The origin of the file.
    pub fn origin(&self) -> &Origin {
        &self.metadata.origin
    }

    /// SHA-256 of the whole file with its thresholds, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Index of the positive class.
    pub fn positive(&self) -> usize {
        self.positive
    }

    /// Classifies `files`, such as those of [`list_images`](malaria_dataset::list_images), in their order. `progress` gets
    /// the number of pictures done and the total. Once `stop` is true, only the pictures in progress are finished.
    ///
    /// A picture that cannot be read gives a [`Prediction`] with an error; the others are still classified.
    ///
    /// # Errors
    /// [`Error::Run`] when the runtime fails.
    pub fn classify(
        &self,
        files: &[ListedImage],
        stop: Option<&AtomicBool>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Prediction>> {
        let network = |cells: &Cells| self.all_probabilities(cells);
        classify(self.description(), self.positive, files, network, stop, progress)
    }

    /// [`Model::classify`] for encoded pictures in memory, such as uploaded ones. A side of more than `longest_side` pixels is an error
    /// of that picture's [`Prediction`].
    ///
    /// # Errors
    /// [`Error::Run`] when the runtime fails.
    pub fn classify_encoded(&self, pictures: &[EncodedImage], longest_side: u32) -> Result<Vec<Prediction>> {
        let network = |cells: &Cells| self.all_probabilities(cells);
        classify_encoded(self.description(), self.positive, pictures, longest_side, network)
    }

    /// Counts infected cells in photographs of smears, see [`malaria_smear::count_smears`].
    ///
    /// # Errors
    /// [`Error::Run`] when the runtime fails; [`Error::File`] where a result cannot be written.
    pub fn count_smears(
        &self,
        photos: &[ListedImage],
        options: &CountOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<SmearReport> {
        let network = |cells: &Cells| self.all_probabilities(cells);
        count_smears(self.description(), self.positive, photos, options, network, progress)
    }

    /// Finds and calls the cells of one photograph, see [`malaria_smear::analyse_field`].
    ///
    /// # Errors
    /// [`Error::Run`] when the runtime fails.
    pub fn analyse_field(&self, name: &str, photo: &RgbImage) -> Result<FieldResult> {
        let network = |cells: &Cells| self.all_probabilities(cells);
        analyse_field(self.description(), self.positive, name, photo, network)
    }

    /// [`Model::probabilities`] of all `cells`.
    fn all_probabilities(&self, cells: &Cells) -> Result<Vec<f64>> {
        let all: Vec<usize> = (0..cells.len()).collect();
        self.probabilities(cells, &all, &mut |_| {})
    }

    /// Probabilities of the `cells` at `indices`, `[indices, classes]` row by row. `progress` gets the number of cells done.
    ///
    /// # Errors
    /// [`Error::CellSize`] for cells of another size than the network's input, [`Error::Run`] when the runtime fails.
    ///
    /// # Panics
    /// If an index is out of range.
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
            probabilities.extend(self.on_all_cores(cells, batch).map_err(|reason| Error::Run { reason })?);
            done += batch.len();
            progress(done);
        }
        Ok(probabilities)
    }

    /// Divides `batch` among the cores; if there are fewer cells than cores, all cores share each cell.
    fn on_all_cores(&self, cells: &Cells, batch: &[usize]) -> Result<Vec<f64>, String> {
        let in_turn = |part: &[usize], core: Option<&Arc<rten::ThreadPool>>| -> Result<Vec<f64>, String> {
            let mut probabilities = Vec::new();
            for &cell in part {
                probabilities.extend(self.run(cells, cell, core)?);
            }
            Ok(probabilities)
        };
        if batch.len() < self.cores.len() {
            return in_turn(batch, None);
        }
        let share = batch.len().div_ceil(self.cores.len());
        thread::scope(|scope| {
            let parts = batch.chunks(share).zip(&self.cores);
            let parts: Vec<_> =
                // In the core's pool, so that the runtime does not wake another thread for every cell.
                parts.map(|(part, core)| scope.spawn(move || core.run(|| in_turn(part, Some(core))))).collect();
            let mut probabilities = Vec::new();
            for part in parts {
                probabilities.extend(part.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok(probabilities)
        })
    }

    /// The probability of each class for one cell, computed on one core or on all.
    fn run(
        &self,
        cells: &Cells,
        cell: usize,
        core: Option<&Arc<rten::ThreadPool>>,
    ) -> Result<Vec<f64>, String> {
        let side = cells.size() as usize;
        let mut image = NdTensor::<f32, 4>::zeros([1, 3, side, side]);
        let values = image.data_mut().ok_or("the image is not contiguous")?;
        // HWC => CHW.
        for (channel, plane) in values.chunks_mut(side * side).enumerate() {
            let bytes = cells.cell(cell).iter().skip(channel).step_by(3);
            plane.iter_mut().zip(bytes).for_each(|(value, &byte)| *value = f32::from(byte) / 255.0);
        }
        let options = core.map(|core| rten::RunOptions::default().with_thread_pool(Some(core.clone())));
        let output = self.network.run_one(image.into(), options).map_err(|error| error.to_string())?;
        let output: NdTensor<f32, 2> = output.try_into().map_err(|error| format!("{OUTPUT}: {error}"))?;
        if output.shape() != [1, self.description().classes.len()] {
            return Err(format!("{OUTPUT}: unexpected shape {:?}", output.shape()));
        }
        let probabilities: Vec<f64> = output.iter().map(|&value| f64::from(value)).collect();
        if probabilities.iter().any(|value| !value.is_finite()) {
            return Err(format!(
                "{OUTPUT}: values that are not finite; the weights are too large, or damaged"
            ));
        }
        Ok(probabilities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{onnx::FLOAT16, weight_format::WeightFormat};

    fn fixture(format: WeightFormat) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        std::fs::read(format!("{folder}/tiny-{format}.onnx")).unwrap()
    }

    /// The fixture without its digest, to be changed.
    fn unsealed(format: WeightFormat) -> onnx::Model {
        let mut file = onnx::Model::decode(&*fixture(format)).unwrap();
        assert_eq!(file.metadata_props.pop().unwrap().key, "malaria-resnet.sha256");
        file
    }

    /// The error for the fixture changed by `spoil`.
    fn refusal(format: WeightFormat, spoil: impl FnOnce(&mut onnx::Model)) -> String {
        let mut file = unsealed(format);
        spoil(&mut file);
        Model::load(&file.encode_to_vec()).err().unwrap().to_string()
    }

    /// The tensor `name`.
    fn tensor<'a>(graph: &'a mut onnx::Graph, name: &str) -> &'a mut onnx::Tensor {
        graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    /// The fixture with `good` replaced by `bad` in its description.
    fn described(good: &str, bad: &str) -> onnx::Model {
        let mut file = unsealed(WeightFormat::F32);
        let entry = file.metadata_props.iter_mut().find(|property| property.key == PROJECT).unwrap();
        assert!(entry.value.contains(good), "{good}: {}", entry.value);
        entry.value = entry.value.replace(good, bad);
        file
    }

    #[test]
    fn flipped_bits_are_detected() {
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
        let error = Model::load(&damaged).err().unwrap().to_string();
        assert!(error.contains("copy it again"), "{error}");

        Model::load(&sealed).unwrap();
        // A file without a digest is loaded.
        Model::load(&unsealed(WeightFormat::Int8).encode_to_vec()).unwrap();
    }

    #[test]
    fn networks_unlike_exported_ones_are_refused_before_they_reach_the_runtime() {
        type Spoil = fn(&mut onnx::Graph);
        let cases: [(&str, Spoil); 8] = [
            // Allocates as many numbers as the file says.
            ("operator `ConstantOfShape`", |graph| graph.node[1].op_type = "ConstantOfShape".to_owned()),
            ("`pads` [1000000000", |graph| graph.node[1].attribute[1].ints[0] = 1_000_000_000),
            ("`strides` [0", |graph| graph.node[1].attribute[2].ints[0] = 0),
            ("`group` [0]", |graph| graph.node[1].attribute.push(onnx::Attribute::int("group", 0))),
            ("bytes for shape [9223372036854775807, ", |graph| {
                graph.initializer.iter_mut().find(|tensor| tensor.dims.len() == 4).unwrap().dims[0] =
                    i64::MAX;
            }),
            ("found type 8", |graph| graph.initializer[0].data_type = 8),
            // Would be computed while the file is loaded.
            ("found the tensor `stem.conv.weight`", |graph| {
                graph.node[1].input.swap(0, 1);
            }),
            ("found the tensor `head.dense.bias`", |graph| {
                let add = graph.node.iter_mut().find(|node| node.op_type == "Add").unwrap();
                add.input[1] = "head.dense.bias".to_owned();
            }),
        ];
        for (words, spoil) in cases {
            let error = refusal(WeightFormat::F32, |file| spoil(file.graph.as_mut().unwrap()));
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn small_weights_unlike_exported_ones_are_refused() {
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
            let error = refusal(WeightFormat::Int8, |file| spoil(file.graph.as_mut().unwrap()));
            assert!(error.contains("`stem.conv.weight`") && error.contains(words), "{words}: {error}");
        }
        let error = refusal(WeightFormat::F16, |file| {
            let graph = file.graph.as_mut().unwrap();
            let second = graph.node[1].clone();
            graph.node.push(second);
        });
        assert!(error.contains("weights that no other node reads"), "{error}");
    }

    #[test]
    fn invalid_fields_of_the_description_are_named() {
        let both = r#"["Parasitized","Uninfected"]"#;
        for (good, bad, words) in [
            (both, r#"["Parasitized"]"#, r#"`classes`: expected two or more, found ["Parasitized"]"#),
            (both, r#"["a","b"]"#, r#"`positive`: expected one of ["a", "b"], found `Parasitized`"#),
            // Larger than cells can be.
            (r#""pixels":32"#, r#""pixels":4294967295"#, "`image`: expected a size that cells can have"),
            (
                r#""temperature":0.6"#,
                r#""temperature":-0.6"#,
                "`temperature`: expected a number above 0, found -0.6",
            ),
            (
                r#"{"format_version":4,"classes""#,
                r#"{"format_version":5,"types""#,
                "expected format version 4, found 5: a later version",
            ),
            (r#"{"format_version":4,"#, "{", "expected format version 4, found 1: an earlier version"),
            (
                r#"{"format_version":4,"#,
                r#"{"format":2,"#,
                "expected format version 4, found 2: an earlier version",
            ),
        ] {
            let error = Model::load(&described(good, bad).encode_to_vec()).err().unwrap().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn outputs_that_are_not_finite_are_refused() {
        let mut file = unsealed(WeightFormat::F32);
        for tensor in &mut file.graph.as_mut().unwrap().initializer {
            tensor.raw_data.chunks_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
        }
        let model = Model::load(&file.encode_to_vec()).unwrap();
        let cells = Cells::from_pixels(32, vec![7; 32 * 32 * 3]).unwrap();
        let error = model.probabilities(&cells, &[0], &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("not finite"), "{error}");
    }
}
