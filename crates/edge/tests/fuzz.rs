//! Damaged weights, models and requests are refused or answered without a panic and in bounded memory.

#[path = "../src/onnx.rs"]
#[expect(dead_code, reason = "models are only decoded here")]
mod onnx;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use malaria_classifier::{EncodedImage, WeightsFile};
use malaria_edge::{Model, WeightFormat, export};
use malaria_fuzz::{Alone, alone};
use prost::Message;
use safetensors::SafeTensors;

/// Memory limit for a file of some ten kilobytes and the objects made from it.
const MEMORY: usize = 32 << 20;
/// The key of the description in weights and models.
const KEY: &str = "malaria-resnet";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

/// Reads files of these bytes as weights; valid ones are exported and loaded.
fn weights(alone: &Alone, target: &str, samples: &[Vec<u8>], file: impl Fn(&[u8]) -> Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    fs::write(&path, file(&samples[0])).unwrap();
    WeightsFile::read(&path).unwrap();
    alone.fuzz(target, samples, MEMORY, |input| {
        fs::write(&path, file(input)).unwrap();
        match WeightsFile::read(&path) {
            Ok(weights) => {
                for precision in WeightFormat::ALL {
                    if let Ok(onnx) = export(&weights, precision, None) {
                        Model::load(&onnx).unwrap();
                    }
                }
            }
            Err(error) => assert!(error.to_string().contains("weights.safetensors"), "{error}"),
        }
    });
}

#[test]
fn weights_file() {
    weights(&alone(), "weights file", &[bytes("tiny.safetensors")], <[u8]>::to_vec);
}

#[test]
fn weights_description() {
    let alone = alone();
    let sample = bytes("tiny.safetensors");
    let (_, metadata) = SafeTensors::read_metadata(&sample).unwrap();
    let description = metadata.metadata().as_ref().unwrap()[KEY].clone();
    let tensors = SafeTensors::deserialize(&sample).unwrap();
    weights(&alone, "weights description", &[description.into_bytes()], |input| {
        let description = String::from_utf8_lossy(input).into_owned();
        let metadata = HashMap::from([(KEY.to_owned(), description)]);
        safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()
    });
}

/// Loads files of these bytes as models; valid ones classify a picture.
fn model(alone: &Alone, target: &str, samples: &[Vec<u8>], file: impl Fn(&[u8]) -> Vec<u8>) {
    let mut png = std::io::Cursor::new(Vec::new());
    let cell = image::RgbImage::from_fn(9, 8, |x, y| image::Rgb([200, (20 * x) as u8, (20 * y) as u8]));
    cell.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let picture = EncodedImage { name: "C1_cell.png".into(), bytes: png.into_inner() };
    assert!(samples.iter().any(|sample| Model::load(&file(sample)).is_ok()));
    alone.fuzz(target, samples, MEMORY, |input| match Model::load(&file(input)) {
        Ok(model) => {
            // A larger input is valid but takes time and memory.
            if model.description().image.pixels <= 64
                && let Ok(predictions) = model.classify_encoded(std::slice::from_ref(&picture), 64)
            {
                assert!(model.description().classes.contains(predictions[0].class.as_ref().unwrap()));
                assert!(predictions[0].probability.unwrap().is_finite());
            }
        }
        Err(error) => assert!(error.to_string().contains("not a model of this project"), "{error}"),
    });
}

/// A model file without the digest at its end, which would detect all damage.
fn unsealed(precision: &str) -> Vec<u8> {
    let mut onnx = bytes(&format!("tiny-{precision}.onnx"));
    let key = b"malaria-resnet.sha256";
    // The key follows the tag and length of the entry and those of the key itself.
    let entry = onnx.windows(key.len()).rposition(|found| found == key).unwrap() - 4;
    onnx.truncate(entry);
    onnx
}

#[test]
fn model_file() {
    let samples = ["f32", "f16", "int8"].map(unsealed);
    model(&alone(), "model file", &samples, <[u8]>::to_vec);
}

/// Valid files with invalid networks: every three bytes of an input change one property.
#[test]
fn model_network() {
    let alone = alone();
    let networks =
        ["f32", "f16", "int8"].map(|precision| onnx::Model::decode(&*unsealed(precision)).unwrap());
    let samples: Vec<Vec<u8>> =
        (0..24_u8).map(|seed| (0..9_u8).map(|i| (i * 28).wrapping_mul(seed)).collect()).collect();
    model(&alone, "model network", &samples, |input| {
        let mut file = networks[input.len() % 3].clone();
        let graph = file.graph.as_mut().unwrap();
        for change in input.as_chunks::<3>().0 {
            let [what, which, value] = change.map(usize::from);
            let (nodes, tensors) = (graph.node.len(), graph.initializer.len());
            let Some(other) = graph.node.get(value % nodes.max(1)).cloned() else { break };
            let tensor = graph.initializer[value % tensors].name.clone();
            let (node, stored) = (&mut graph.node[which % nodes], &mut graph.initializer[which % tensors]);
            let place = value % node.input.len().max(1);
            match what % 12 {
                0 | 1 => {
                    let name = if what % 12 == 0 { &other.name } else { &tensor };
                    node.input.iter_mut().skip(place).take(1).for_each(|input| input.clone_from(name));
                }
                2 => drop(node.input.pop()),
                3 => node.input.push(tensor),
                4 => node.op_type = other.op_type,
                5 => node.attribute.clear(),
                6 => node.attribute.extend(other.attribute),
                7 => node.attribute.iter_mut().for_each(|setting| {
                    let turn = value % setting.ints.len().max(1);
                    setting.ints.rotate_left(turn);
                    setting.ints.iter_mut().for_each(|number| *number = (*number + value as i64) % 6);
                }),
                8 => stored.dims.reverse(),
                9 => stored.dims.push(1),
                10 => {
                    stored.dims.iter_mut().skip(value % 4).take(1).for_each(|side| *side = 0);
                    stored.raw_data.clear();
                }
                _ => drop(graph.node.remove(which % nodes)),
            }
        }
        file.encode_to_vec()
    });
}

#[test]
fn model_description() {
    let alone = alone();
    let mut network = unsealed("f32");
    // The last metadata entry, up to the end of the file: a key and a value, each after a tag and its length.
    let key = network.windows(KEY.len()).rposition(|found| found == KEY.as_bytes()).unwrap();
    let value = key + network[key..].iter().position(|&byte| byte == b'{').unwrap();
    let description = network[value..].to_vec();
    serde_json::from_slice::<serde_json::Value>(&description).unwrap();
    // An entry under another key is ignored, and another entry may follow.
    network[key] = b'M';
    model(&alone, "model description", &[description], |input| {
        let description = String::from_utf8_lossy(input);
        let field = |tag: u8, contents: &[u8]| {
            let length = contents.len();
            [&[tag, length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8], contents].concat()
        };
        let property = [field(0x0A, KEY.as_bytes()), field(0x12, description.as_bytes())].concat();
        [network.as_slice(), &field(0x72, &property)].concat()
    });
}

/// A server that ends with the test, and the file of its standard error.
#[cfg(feature = "serve")]
struct Server {
    process: std::process::Child,
    address: String,
    errors: tempfile::NamedTempFile,
}

#[cfg(feature = "serve")]
impl Server {
    fn start() -> Self {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
        command.arg("serve").arg(fixture("tiny-f32.onnx")).args(["--port", "0"]);
        let mut process = command.stdout(Stdio::piped()).stderr(errors.reopen().unwrap()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { process, address, errors }
    }

    /// The answer to these bytes.
    fn answer(&self, request: &[u8]) -> Vec<u8> {
        use std::io::{Read, Write};
        use std::net::{Shutdown, TcpStream};
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let mut answer = Vec::new();
        // The server may refuse the request before all is sent.
        let _ = stream.write_all(request);
        // If the server waits for more, the end is signalled.
        stream.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        if stream.read_to_end(&mut answer).is_err() {
            let _ = stream.shutdown(Shutdown::Write);
            stream.set_read_timeout(None).unwrap();
            let _ = stream.read_to_end(&mut answer);
        }
        answer
    }
}

#[cfg(feature = "serve")]
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(feature = "serve")]
#[test]
fn requests() {
    let alone = alone();
    let server = Server::start();
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(24, 24).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let form = [
        b"--between\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"C7P2.png\"\r\n\r\n"
            .as_slice(),
        png.get_ref(),
        b"\r\n--between--\r\n",
    ]
    .concat();
    let predictions =
        br#"[{"path":"C7P2.png","patient":"C7","class":"Parasitized","probability":0.97,"warning":null,"error":null}]"#;
    let post = |path: &str, kind: &str, body: &[u8]| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let samples = [
        b"GET /model HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n\r\n".to_vec(),
        post("/classify", "multipart/form-data; boundary=between", &form),
        post("/patients", "application/json", predictions),
        [
            b"POST /patients HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n".as_slice(),
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        ]
        .concat(),
    ];
    for sample in &samples {
        let answer = server.answer(sample);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    alone.fuzz("requests", &samples, MEMORY, |request| {
        let answer = server.answer(request);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
        let status = answer.get(9..12).unwrap_or_default();
        assert!(status != b"500", "{}", String::from_utf8_lossy(&answer));
    });
    assert_eq!(fs::read_to_string(&server.errors).unwrap(), "");
    assert!(server.answer(&samples[0]).starts_with(b"HTTP/1.1 200"), "it no longer answers");
    #[cfg(target_os = "linux")]
    {
        let status = fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")).unwrap();
        assert!(peak.trim().parse::<u64>().unwrap() < 256 << 10, "{peak} KiB");
    }
}
