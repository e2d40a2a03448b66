//! What the test stages need, installed under the target directory at pinned versions.
//!
//! Each installation keeps a copy of the file that pinned it and is redone when that file changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::tools::{self, Outcome};

/// A Python, in a folder of this name, whose packages are those of the requirements file; gives the interpreter.
pub(crate) fn python(target: &Path, name: &str, requirements: &Path) -> Outcome<PathBuf> {
    let folder = target.join("xtask").join(name);
    let interpreter = folder.join("bin").join("python");
    let marker = folder.join("installed-requirements.txt");
    if same(requirements, &marker) && interpreter.exists() {
        return Ok(interpreter);
    }
    if !tools::on_path("python3") {
        return Err("`python3` is missing\nhint: install Python 3 with its `venv` module".into());
    }
    println!("installing the Python packages of `{}`", requirements.display());
    // A half-made environment would stay half-made.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    tools::output(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .map_err(|error| format!("{error}\nhint: on Debian, install `python3-venv`"))?;
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--requirement"];
    tools::show(Command::new(&interpreter).args(pip).arg(requirements))?;
    fs::copy(requirements, marker)?;
    Ok(interpreter)
}

/// A folder with copies of `files` and, installed beside them, the packages that the first of them (a
/// `package.json`) pins. Copies, because Node looks for packages only beside and above a script, and no
/// package may lie in the checkout.
pub(super) fn node(target: &Path, name: &str, files: &[PathBuf]) -> Outcome<PathBuf> {
    let folder = target.join("xtask").join(name);
    for program in ["node", "npm"] {
        if !tools::on_path(program) {
            return Err(format!("`{program}` is missing\nhint: install Node 20 or newer").into());
        }
    }
    fs::create_dir_all(&folder)?;
    for file in files {
        let name = file.file_name().ok_or("a file has a name")?;
        fs::copy(file, folder.join(name))?;
    }
    let manifest = files.first().ok_or("a package manifest is named")?;
    let marker = folder.join("installed-package.json");
    if !same(manifest, &marker) {
        println!("installing the Node packages of `{}`", manifest.display());
        let quiet = [
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
            "--loglevel=error",
        ];
        tools::show(Command::new("npm").args(quiet).current_dir(&folder))?;
        fs::copy(manifest, marker)?;
    }
    Ok(folder)
}

/// The browser and the program that drives it.
pub(super) struct Browser {
    pub(super) chromium: PathBuf,
    pub(super) driver: PathBuf,
}

/// Chromium and its driver, where `PINTLE_CHROMIUM` and `PINTLE_CHROMEDRIVER` or the distribution put
/// them. Root on a Debian-like system gets them installed; everybody else gets told how.
pub(super) fn chromium() -> Outcome<Browser> {
    let place = |variable: &str, default: &str| {
        std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from)
    };
    let browser = Browser {
        chromium: place("PINTLE_CHROMIUM", "/usr/bin/chromium"),
        driver: place("PINTLE_CHROMEDRIVER", "/usr/bin/chromedriver"),
    };
    let missing = || [&browser.chromium, &browser.driver].into_iter().find(|path| !path.is_file());
    if missing().is_some() && tools::on_path("apt-get") && is_root()? {
        println!("installing Chromium and its driver");
        let apt = || {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        tools::output(apt().args(["update", "-qq"]))?;
        let install = ["install", "-qq", "--yes", "--no-install-recommends", "chromium", "chromium-driver"];
        tools::output(apt().args(install))?;
    }
    match missing() {
        None => Ok(browser),
        Some(path) => Err(format!(
            "`{}` is missing, so the console cannot be tested\n\
             hint: install the packages `chromium` and `chromium-driver`, or name both programs in \
             PINTLE_CHROMIUM and PINTLE_CHROMEDRIVER",
            path.display()
        )
        .into()),
    }
}

fn is_root() -> Outcome<bool> {
    Ok(tools::output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Whether both files are there and equal.
fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(a), Ok(b)) if a == b)
}
