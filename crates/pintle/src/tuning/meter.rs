//! What a training process takes: processor time, which is what it costs, and energy.
//!
//! Where the machine's own meter can be read (RAPL, `/sys/class/powercap`), the process has the share of each moment's
//! energy that it has of the machine's busy processor time, and the figure says `measured`. Elsewhere it is processor
//! time times a rated power, and says `estimated`. One moment that was not measured makes the whole an estimate.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use pintle_core::{Energy, EnergyMethod};
use serde::{Deserialize, Serialize};

use super::job::{read_json, write_json};

const POWERCAP: &str = "/sys/class/powercap";
const STAT: &str = "/proc/stat";
const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;

/// How often what was taken is written down.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What was taken so far, over all processes that took part: kept in a file, so that a killed one loses a moment only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// Processor time in microseconds.
    pub(crate) processor_us: u64,
    /// Time by the clock on the wall in microseconds.
    pub(crate) wall_us: u64,
    /// What the meter gave it, in microjoules.
    measured_uj: f64,
    /// Whether each moment was measured.
    is_measured: bool,
}

impl Default for Spent {
    fn default() -> Self {
        Spent { processor_us: 0, wall_us: 0, measured_uj: 0.0, is_measured: true }
    }
}

const UJ_PER_MWH: f64 = 3.6e6;

impl Spent {
    /// Processor time.
    pub(crate) fn processor(&self) -> Duration {
        Duration::from_micros(self.processor_us)
    }

    /// Energy, at so many watts a core where it was not measured; `None` before anything was done.
    pub(crate) fn energy(&self, watts_per_core: f64) -> Option<Energy> {
        if self.processor_us == 0 {
            return None;
        }
        let estimated_uj = self.processor_us as f64 * watts_per_core;
        let (uj, method) = if self.is_measured {
            (self.measured_uj, EnergyMethod::Measured)
        } else {
            (estimated_uj, EnergyMethod::Estimated)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and far below the type's end"
        )]
        let milliwatt_hours = (uj / UJ_PER_MWH).round().clamp(0.0, 1e15) as u64;
        Some(Energy { milliwatt_hours, method })
    }
}

/// Counts on from what was spent before.
struct Meter {
    spent: Spent,
    at: Instant,
    processor: Duration,
    machine: Option<Reading>,
    packages: Vec<Package>,
    stat: PathBuf,
}

/// One processor package's counter of energy.
struct Package {
    energy: PathBuf,
    /// The counter begins again after this.
    range_uj: u64,
}

/// The machine at one moment.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    /// One counter for each package, in microjoules.
    counters: Vec<u64>,
    /// Busy time of all processors, in ticks of a hundredth of a second.
    busy_ticks: u64,
}

impl Meter {
    fn new(spent: Spent) -> Self {
        Self::reading(spent, Path::new(POWERCAP), Path::new(STAT))
    }

    fn reading(spent: Spent, powercap: &Path, stat: &Path) -> Self {
        let mut meter = Meter {
            spent,
            at: Instant::now(),
            processor: processor_time(),
            machine: None,
            packages: packages(powercap),
            stat: stat.to_path_buf(),
        };
        meter.machine = meter.read();
        meter
    }

    /// Adds what was taken since the last look. At least once in a minute: counters begin again.
    fn look(&mut self) -> Spent {
        let processor = processor_time();
        let own = processor.saturating_sub(self.processor);
        let machine = self.read();
        match (&self.machine, &machine) {
            (Some(before), Some(now)) => self.spent.measured_uj += self.share(before, now, own),
            _ => self.spent.is_measured = false,
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.spent.processor_us = self.spent.processor_us.saturating_add(micros(own));
        self.spent.wall_us = self.spent.wall_us.saturating_add(micros(self.at.elapsed()));
        (self.at, self.processor, self.machine) = (Instant::now(), processor, machine);
        self.spent
    }

    /// This process's part of what the packages took, in microjoules.
    fn share(&self, before: &Reading, now: &Reading, own: Duration) -> f64 {
        let counters = before.counters.iter().zip(&now.counters).zip(&self.packages);
        let taken: f64 = counters
            .map(|((before, now), package)| {
                let taken = now.checked_sub(*before);
                taken.unwrap_or_else(|| (package.range_uj.saturating_sub(*before)).saturating_add(*now))
                    as f64
            })
            .sum();
        let busy_s = now.busy_ticks.saturating_sub(before.busy_ticks) as f64 / 100.0;
        let own_s = own.as_secs_f64();
        // Ticks are coarse: a process never has more than all of it.
        if own_s <= 0.0 { 0.0 } else { taken * (own_s / busy_s.max(own_s)) }
    }

    fn read(&self) -> Option<Reading> {
        if self.packages.is_empty() {
            return None;
        }
        let counters = self.packages.iter().map(|package| number(&package.energy)).collect::<Option<_>>()?;
        Some(Reading { counters, busy_ticks: busy_ticks(&text(&self.stat)?)? })
    }
}

/// A meter that is looked at all the time, on a thread of its own, and whose figures are kept in a file.
pub(crate) struct Watched {
    is_over: Arc<AtomicBool>,
    spent: Arc<Mutex<Spent>>,
    thread: JoinHandle<()>,
}

impl Watched {
    /// Counts on from what stands in the file. `looked` hears of each look, and whether it could be written down.
    pub(crate) fn start(
        path: PathBuf,
        mut looked: impl FnMut(Spent, std::io::Result<()>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut meter = Meter::new(read_json(&path)?.unwrap_or_default());
        let is_over = Arc::new(AtomicBool::new(false));
        let spent = Arc::new(Mutex::new(meter.look()));
        let (over, kept) = (Arc::clone(&is_over), Arc::clone(&spent));
        let watch = move || {
            loop {
                let is_last = over.load(Ordering::Relaxed);
                let spent = meter.look();
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = spent;
                looked(spent, write_json(&path, &spent));
                if is_last {
                    return;
                }
                std::thread::park_timeout(LOOK_EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("pintle-meter".to_owned()).spawn(watch)?;
        Ok(Watched { is_over, spent, thread })
    }

    pub(crate) fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A last look.
    pub(crate) fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        drop(self.thread.join());
    }
}

/// The packages whose counters this process may read. Parts of packages (`intel-rapl:0:0`) are in them already.
fn packages(powercap: &Path) -> Vec<Package> {
    let Ok(listing) = std::fs::read_dir(powercap) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let package = |folder: &PathBuf| {
        let name = text(&folder.join("name"))?;
        let range_uj = number(&folder.join("max_energy_range_uj"))?;
        let energy = folder.join("energy_uj");
        (name.starts_with("package-") && number(&energy).is_some()).then_some(Package { energy, range_uj })
    };
    folders.iter().filter_map(package).collect()
}

/// `cpu  user nice system idle iowait irq softirq steal …` → what is neither idle nor waiting.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let [user, nice, system, _idle, _waiting, rest @ ..] = fields.as_slice() else { return None };
    Some(user + nice + system + rest.iter().sum::<u64>())
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    std::io::Read::read_to_string(&mut std::io::Read::take(file, SMALL_FILE_BYTES_MAX), &mut text).ok()?;
    Some(text)
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// Of this process, all threads together.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(folder: &Path, energy: u64, busy: u64) {
        let package = folder.join("powercap/intel-rapl:0");
        std::fs::create_dir_all(&package).unwrap();
        std::fs::create_dir_all(folder.join("powercap/intel-rapl:0:0")).unwrap();
        std::fs::write(package.join("name"), "package-0\n").unwrap();
        std::fs::write(package.join("max_energy_range_uj"), "1000000\n").unwrap();
        std::fs::write(package.join("energy_uj"), format!("{energy}\n")).unwrap();
        std::fs::write(folder.join("powercap/intel-rapl:0:0/name"), "core\n").unwrap();
        std::fs::write(folder.join("stat"), format!("cpu  {busy} 0 0 900 50 0 0 0 0 0\ncpu0 1\n")).unwrap();
    }

    #[test]
    fn the_meter_gives_a_share_also_when_its_counter_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        machine(folder.path(), 900_000, 1_000);
        let (powercap, stat) = (folder.path().join("powercap"), folder.path().join("stat"));
        let meter = Meter::reading(Spent::default(), &powercap, &stat);
        let before = meter.read().unwrap();
        // 300,000 µJ over 2 busy seconds, of which half a second was ours.
        machine(folder.path(), 200_000, 1_200);
        let now = meter.read().unwrap();
        let share = meter.share(&before, &now, Duration::from_millis(500));
        assert!((share - 75_000.0).abs() < 1e-6, "{share}");
        assert!((meter.share(&before, &before, Duration::from_secs(1))).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_measured_is_estimated_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut meter = Meter::reading(Spent::default(), folder.path(), &folder.path().join("stat"));
        let begun = processor_time();
        while processor_time() < begun + Duration::from_millis(20) {
            std::hint::black_box(begun);
        }
        let spent = meter.look();
        assert!(spent.processor() >= Duration::from_millis(20));
        assert_eq!(spent.energy(5.0).unwrap().method, EnergyMethod::Estimated);
        let hour = Spent { processor_us: 3_600_000_000, ..spent };
        assert_eq!(hour.energy(5.0).unwrap().milliwatt_hours, 5_000);
        assert_eq!(Spent::default().energy(5.0), None);
    }
}
