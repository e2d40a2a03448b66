//! `model.safetensors`: eight bytes of length, a JSON header, the numbers. Written in one go from the flat list of
//! weights; read tensor by tensor into it, so that a file is never in memory beside the model.
//!
//! A header is a stranger's text: its length, names, shapes and places are checked before anything is reserved.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, tensor::Metadata};
use serde_json::{Map, Value, json};

use crate::{Layout, ModelError, Tensor};

const HEADER_BYTES_MAX: u64 = 16 << 20;
const TENSORS_MAX: usize = 65_536;
/// Numbers are turned in parts of so many.
const PART: usize = 64 * 1024;

/// How weights are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Single precision: nothing is lost.
    #[default]
    F32,
    /// The upper half of single precision: half the size, about three decimal digits.
    Bf16,
}

impl Precision {
    pub(super) fn torch_name(self) -> &'static str {
        match self {
            Precision::F32 => "float32",
            Precision::Bf16 => "bfloat16",
        }
    }

    fn header_name(self) -> &'static str {
        match self {
            Precision::F32 => "F32",
            Precision::Bf16 => "BF16",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        }
    }
}

/// Writes all tensors into one file, each once: a tied head is the embedding.
pub(super) fn write(
    path: &Path,
    layout: &Layout,
    weights: &[f32],
    precision: Precision,
) -> Result<(), ModelError> {
    let mut header = Map::new();
    // `transformers` refuses a file that does not say for whom it was written.
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    for tensor in &layout.tensors {
        let places = [tensor.range.start * precision.bytes(), tensor.range.end * precision.bytes()];
        let entry = json!({
            "dtype": precision.header_name(),
            "shape": tensor.shape,
            "data_offsets": places,
        });
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let file = File::create(path).map_err(ModelError::io(path))?;
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        match precision {
            Precision::F32 => write_numbers(&mut out, weights, f32::to_le_bytes)?,
            Precision::Bf16 => write_numbers(&mut out, weights, |value| to_bf16(value).to_le_bytes())?,
        }
        out.flush()?;
        file.sync_all()
    };
    write().map_err(ModelError::io(path))
}

/// Writes numbers, each as some bytes.
pub(super) fn write_numbers<const N: usize>(
    out: &mut impl Write,
    values: &[f32],
    bytes: impl Fn(f32) -> [u8; N],
) -> std::io::Result<()> {
    let mut part = Vec::with_capacity(PART * N);
    for values in values.chunks(PART) {
        part.clear();
        part.extend(values.iter().flat_map(|value| bytes(*value)));
        out.write_all(&part)?;
    }
    Ok(())
}

/// Rounds to the nearest, ties to even; what is no number stays none.
pub(crate) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let upper = (bits >> 16) as u16;
    if value.is_nan() {
        return upper | 0x0040;
    }
    let rounded = u64::from(bits) + 0x7FFF + u64::from(upper & 1);
    u16::try_from(rounded >> 16).unwrap_or(upper)
}

fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Rounds to the nearest half-precision number, ties to even; too large ones become infinite.
pub(super) fn to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = value.abs();
    if value.is_nan() {
        return sign | 0x7E00;
    }
    if magnitude >= 65_520.0 {
        return sign | 0x7C00;
    }
    if magnitude < 6.103_515_6e-5 {
        // Below the smallest normal number they lie 2^-24 apart.
        let steps = (magnitude * 16_777_216.0).round_ties_even();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1,024")]
        return sign | steps as u16;
    }
    let even = (bits >> 13) & 1;
    let rounded = (bits & 0x7FFF_FFFF) + 0xFFF + even - (112 << 23);
    sign | u16::try_from(rounded >> 13).unwrap_or(0x7C00)
}

fn from_f16(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1F), u32::from(bits & 0x3FF));
    match exponent {
        0 => {
            let magnitude = fraction as f32 / 16_777_216.0;
            if sign == 0 { magnitude } else { -magnitude }
        }
        0x1F => f32::from_bits(sign | 0x7F80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// Where a tensor lies in a file.
struct Place {
    shard: usize,
    bytes: Range<u64>,
    dtype: Dtype,
    shape: Vec<usize>,
}

/// Open files with the places of all their tensors.
pub(crate) struct Shards {
    files: Vec<(PathBuf, File)>,
    places: BTreeMap<String, Place>,
}

impl Shards {
    /// Opens files and checks their headers. An index may say which tensors it expects where.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, ModelError> {
        let mut shards = Shards { files: Vec::new(), places: BTreeMap::new() };
        for path in paths {
            shards.add(path)?;
        }
        Ok(shards)
    }

    fn add(&mut self, path: &Path) -> Result<(), ModelError> {
        let broken = |why: String| ModelError::Broken { path: path.into(), why };
        let mut file = File::open(path).map_err(ModelError::io(path))?;
        let length = file.metadata().map_err(ModelError::io(path))?.len();
        let cut_short = || broken("it is cut short in its header".into());
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(|_| cut_short())?;
        let header = u64::from_le_bytes(size);
        if header > HEADER_BYTES_MAX {
            return Err(broken(format!("its header claims {header} bytes, more than 16 MiB")));
        }
        let start = header + 8;
        if start > length {
            return Err(cut_short());
        }
        let mut text = Vec::new();
        (&mut file).take(header).read_to_end(&mut text).map_err(ModelError::io(path))?;
        // The parser checks that places follow each other without gaps and have the size of their shape.
        let metadata: Metadata = serde_json::from_slice(&text)
            .map_err(|error| broken(format!("its header is broken: {error}")))?;
        let data = u64::try_from(metadata.data_len()).ok();
        if data.and_then(|data| data.checked_add(start)) != Some(length) {
            let why =
                format!("its header describes {} bytes, it has {}", metadata.data_len(), length - start);
            return Err(broken(why));
        }
        let tensors = metadata.tensors();
        if self.places.len() + tensors.len() > TENSORS_MAX {
            return Err(broken("it has too many tensors".into()));
        }
        for (name, info) in tensors {
            let (from, to) = info.data_offsets;
            let place = Place {
                shard: self.files.len(),
                bytes: start + from as u64..start + to as u64,
                dtype: info.dtype,
                shape: info.shape.clone(),
            };
            if self.places.contains_key(&name) {
                return Err(broken(format!("the tensor `{}` is in another file too", short(&name))));
            }
            self.places.insert(name, place);
        }
        self.files.push((path.into(), file));
        Ok(())
    }

    /// The file that a tensor is in.
    fn file_of(&self, name: &str) -> Option<&Path> {
        let place = self.places.get(name)?;
        self.files.get(place.shard).map(|(path, _)| path.as_path())
    }

    /// Tensors that would be left out make it another network, but for those that `is_idle` knows.
    pub(crate) fn refuse_others(
        &self,
        tensors: &[Tensor],
        is_idle: impl Fn(&str) -> bool,
    ) -> Result<(), ModelError> {
        let known: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let mut names = self.places.keys().map(String::as_str);
        match names.find(|name| !known.contains(name) && !is_idle(name)) {
            None => Ok(()),
            Some(name) => Err(ModelError::Unsupported {
                path: self.file_of(name).unwrap_or(Path::new("model.safetensors")).into(),
                what: format!("the tensor `{}` is of another network", short(name)),
            }),
        }
    }

    /// Checks that a tensor is there, in this shape and in numbers that are read. `first` is named where it is missing.
    pub(crate) fn check(&self, tensor: &Tensor) -> Result<(), ModelError> {
        let first = self.files.first().map(|(path, _)| path.clone()).unwrap_or_default();
        let Some(place) = self.places.get(&tensor.name) else {
            let why = format!("the tensor `{}` is missing", tensor.name);
            return Err(ModelError::Broken { path: first, why });
        };
        let path = self.file_of(&tensor.name).unwrap_or(&first).to_owned();
        if place.shape != tensor.shape {
            let why = format!("`{}` has the shape {:?}, not {:?}", tensor.name, place.shape, tensor.shape);
            return Err(ModelError::Broken { path, why });
        }
        if !matches!(place.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
            let what = format!("`{}` holds {:?} numbers", tensor.name, place.dtype);
            return Err(ModelError::Unsupported { path, what });
        }
        Ok(())
    }

    /// Reads a checked tensor.
    pub(crate) fn read(&mut self, tensor: &Tensor, into: &mut [f32]) -> Result<(), ModelError> {
        let Some(place) = self.places.get(&tensor.name) else { return self.check(tensor) };
        let Some((path, file)) = self.files.get_mut(place.shard) else { return Ok(()) };
        file.seek(SeekFrom::Start(place.bytes.start)).map_err(ModelError::io(path.as_path()))?;
        let read = match place.dtype {
            Dtype::BF16 => read_numbers(file, into, |bytes| from_bf16(u16::from_le_bytes(bytes))),
            Dtype::F16 => read_numbers(file, into, |bytes| from_f16(u16::from_le_bytes(bytes))),
            _ => read_numbers(file, into, f32::from_le_bytes),
        };
        read.map_err(ModelError::io(path.as_path()))?;
        if into.iter().any(|value| !value.is_finite()) {
            let why = format!("`{}` holds values that are no finite numbers", tensor.name);
            return Err(ModelError::Broken { path: path.clone(), why });
        }
        Ok(())
    }
}

fn read_numbers<const N: usize>(
    file: &mut File,
    into: &mut [f32],
    number: impl Fn([u8; N]) -> f32,
) -> std::io::Result<()> {
    let mut part = vec![0; PART * N];
    for values in into.chunks_mut(PART) {
        let Some(part) = part.get_mut(..values.len() * N) else { continue };
        file.read_exact(part)?;
        let (numbers, _) = part.as_chunks::<N>();
        for (value, bytes) in values.iter_mut().zip(numbers) {
            *value = number(*bytes);
        }
    }
    Ok(())
}

/// A stranger's name, cut for a message.
pub(crate) fn short(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_half_number_survives() {
        for bits in 0..=u16::MAX {
            let value = from_f16(bits);
            if value.is_nan() {
                assert!(from_f16(to_f16(value)).is_nan());
            } else {
                assert_eq!(to_f16(value), bits, "{value}");
            }
            let value = from_bf16(bits);
            if value.is_nan() {
                assert!(from_bf16(to_bf16(value)).is_nan());
            } else {
                assert_eq!(to_bf16(value), bits, "{value}");
            }
        }
    }

    proptest! {
        /// No other half number is nearer; of two equally near ones the even one is taken.
        #[test]
        fn rounding_is_to_the_nearest(value in -70_000.0_f32..70_000.0, small in -1e-4_f32..1e-4) {
            for value in [value, small] {
                let bits = to_f16(value);
                let error = (f64::from(from_f16(bits)) - f64::from(value)).abs();
                for other in [bits.wrapping_sub(1), bits.wrapping_add(1)] {
                    let distance = (f64::from(from_f16(other)) - f64::from(value)).abs();
                    let is_even = bits & 1 == 0;
                    prop_assert!(
                        error < distance || (error <= distance && is_even) || !distance.is_finite() || !error.is_finite()
                    );
                }
                let error = (from_bf16(to_bf16(value)) - value).abs();
                prop_assert!(error <= value.abs() / 256.0 + f32::MIN_POSITIVE);
            }
        }
    }
}
