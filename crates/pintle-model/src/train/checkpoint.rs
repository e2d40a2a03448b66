//! A run's state on disk: one file, replaced as a whole, so that a process that is killed at any moment finds the
//! newest complete one.
//!
//! Layout: eight bytes of magic, the length of the header and the header (JSON), the weights and both moments as
//! little-endian `f32`, and a CRC-32 of everything before it.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{machine::State, optimiser::Moments, run::Point};
use crate::ModelError;

const MAGIC: &[u8; 8] = b"PINTLET1";
const HEADER_BYTES_MAX: u64 = 256 << 20;

/// What a checkpoint says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// What the run is made of: recipe, data, seed. A checkpoint of another run is not gone on with.
    run: String,
    step: u64,
    weights: u64,
    /// The curve so far.
    curve: Vec<Point>,
    /// Seconds of computing so far.
    seconds: f64,
}

/// A state that can be gone on with.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) state: State,
    pub(super) curve: Vec<Point>,
    pub(super) seconds: f64,
}

/// Writes the state beside the file, asks the disk to keep it, and puts it in the file's place.
pub(super) fn save(
    path: &Path,
    run: &str,
    state: &State,
    curve: &[Point],
    seconds: f64,
) -> Result<(), ModelError> {
    let beside = path.with_extension("new");
    let written = write(&beside, run, state, curve, seconds)
        .and_then(|()| std::fs::rename(&beside, path))
        .and_then(|()| sync_folder(path));
    written.map_err(|source| {
        // A full disk leaves half a file behind; the one before it is still whole.
        let _ = std::fs::remove_file(&beside);
        ModelError::Io { path: path.to_path_buf(), source }
    })
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn write(path: &Path, run: &str, state: &State, curve: &[Point], seconds: f64) -> std::io::Result<()> {
    let header = Header {
        run: run.to_owned(),
        step: state.step,
        weights: state.weights.len() as u64,
        curve: curve.to_vec(),
        seconds,
    };
    let header = serde_json::to_vec(&header)?;
    let mut out = Summed { inner: BufWriter::new(File::create(path)?), crc: crc32fast::Hasher::new() };
    out.write_all(MAGIC)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for values in [&state.weights, &state.moments.first, &state.moments.second] {
        for part in values.chunks(4096) {
            let bytes: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
    }
    let crc = out.crc.clone().finalize();
    out.inner.write_all(&crc.to_le_bytes())?;
    let file = out.inner.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Reads a checkpoint of the same run; `None` where there is none.
pub(super) fn load(path: &Path, run: &str, weights: usize) -> Result<Option<Resumed>, ModelError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ModelError::Io { path: path.to_path_buf(), source }),
    };
    let broken = |why: &str| ModelError::Broken { path: path.to_path_buf(), why: why.to_owned() };
    let input = SummedReader { inner: BufReader::new(file), crc: crc32fast::Hasher::new() };
    let (header, state) = read(input, weights)
        .map_err(|_| broken("it is not complete"))?
        .ok_or_else(|| broken("it is damaged"))?;
    if header.run != run {
        return Err(ModelError::OtherRun(PathBuf::from(path)));
    }
    Ok(Some(Resumed { state, curve: header.curve, seconds: header.seconds }))
}

/// `None` when the file is not what it should be; an error when it ends too early.
fn read(mut input: SummedReader<impl Read>, weights: usize) -> std::io::Result<Option<(Header, State)>> {
    let (mut magic, mut length) = ([0; 8], [0; 8]);
    input.read_exact(&mut magic)?;
    input.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if magic != *MAGIC || length > HEADER_BYTES_MAX {
        return Ok(None);
    }
    let mut header = Vec::new();
    Read::take(&mut input, length).read_to_end(&mut header)?;
    let header: Header = serde_json::from_slice(&header)?;
    if header.weights != weights as u64 {
        return Ok(None);
    }
    let mut floats = || -> std::io::Result<Vec<f32>> {
        let mut values = Vec::with_capacity(weights);
        let mut bytes = [0; 4 * 4096];
        while values.len() < weights {
            let count = (weights - values.len()).min(4096) * 4;
            let part = bytes.get_mut(..count).unwrap_or_default();
            input.read_exact(part)?;
            values.extend(part.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        Ok(values)
    };
    let weights = floats()?;
    let moments = Moments { first: floats()?, second: floats()? };
    let crc = input.crc.clone().finalize();
    let mut kept = [0; 4];
    input.inner.read_exact(&mut kept)?;
    let state = State { weights, moments, step: header.step };
    Ok((u32::from_le_bytes(kept) == crc).then_some((header, state)))
}

struct Summed<W> {
    inner: W,
    crc: crc32fast::Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.crc.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

struct SummedReader<R> {
    inner: R,
    crc: crc32fast::Hasher,
}

impl<R: Read> Read for SummedReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.crc.update(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}
