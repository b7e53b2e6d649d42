//! `latchkey import`: users of a file, each with their locks in one conditional transaction. A run that was killed goes on where
//! it was: what it wrote last is written again, and changes nothing.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters::dynamodb::{AllTables, ImportOutcome, Store, USERS_IN_BATCH, import_units};
use clap::Args;
use domain::rules::user::User;
use domain::values::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

use crate::context::Context;
use crate::failure::Failure;
use crate::organizations::check_exists;
use crate::output::{Report, fields};
use crate::pace::Pace;
use crate::sources::{Enough, Format, Record, read, when};
use adapters::people::Defaults;

/// Users that are written at the same time, and between two checkpoints.
const AT_ONCE: usize = 16;
/// A batch takes a part of a second's units, so that the rate is even.
const BATCHES_IN_SECOND: u64 = 8;
/// Write units of a usual user, by which the first batches are sized.
const USUAL_UNITS: u64 = 4;
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(2);
/// Records that wait to be written, so that memory does not grow with the file.
const WAITING: usize = 256;
/// Places in the file that are printed beside a reason.
const SHOWN_PLACES: usize = 5;

#[derive(Args)]
pub struct Command {
    /// What the file is
    #[arg(value_enum)]
    format: Format,
    /// The file
    file: PathBuf,
    /// The organization of users who have no role; that of the deployment if absent
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// The day on which numbers were last proven for which the file does not say it: YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    proven_on: Option<String>,
    /// The most write units a second
    #[arg(long, value_name = "UNITS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    units_per_second: u64,
    /// Where the run notes how far it is [default: the file's name with .checkpoint]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Where each record that was not imported is noted with the reason [default: the file's name with .rejected]
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
}

/// What is imported, and where to. A checkpoint of anything else would skip users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Work {
    format: String,
    file_sha256: String,
    organization: String,
    proven_on: Option<String>,
    users_table: String,
}

/// How far an import is. A later run of the same work goes on from here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    of: Work,
    /// Records that need not be read again.
    records: u64,
    written: u64,
    already_there: u64,
    rejected: u64,
    /// The length of the file of rejected records.
    rejected_bytes: u64,
    /// By what was spent in this and earlier runs.
    write_units: u64,
}

/// Records that are rejected for the same reason.
#[derive(Default)]
struct Rejected {
    count: u64,
    /// The places of the first ones.
    first: Vec<u64>,
}

/// Where a run stands.
struct Run<'a> {
    context: &'a Context,
    store: Store<AllTables>,
    defaults: Defaults,
    progress: Progress,
    /// The records that this run rejected, by the reason.
    reasons: BTreeMap<String, Rejected>,
    rejected: PathBuf,
    checkpoint: PathBuf,
    started: Instant,
    told: Instant,
    /// Units of this run.
    units: u64,
    records_of_run: u64,
}

pub async fn run(context: &Context, command: Command) -> Result<Report, Failure> {
    let beside = |end: &str| {
        let mut name = command.file.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    };
    let checkpoint = command.checkpoint.clone().unwrap_or_else(|| beside(".checkpoint"));
    let rejected = command.rejected.clone().unwrap_or_else(|| beside(".rejected"));
    let proven_on = command.proven_on.as_deref().map(when::moment).transpose();
    let proven_on = proven_on.map_err(|_| "--proven-on: expected a day, YYYY-MM-DD")?;
    let defaults = Defaults {
        organization: context.organization(command.organization.as_deref())?,
        country: context.app.config.default_organization.default_country,
        proven_at: proven_on.map(Timestamp::from_seconds),
        now: context.now,
    };
    check_exists(context, &defaults.organization).await?;
    let file_sha256 = sha256(&command.file).map_err(|error| format!("{}: {error}", command.file.display()))?;
    let work = Work {
        format: command.format.name(),
        file_sha256,
        organization: defaults.organization.as_str().to_owned(),
        proven_on: command.proven_on.clone(),
        users_table: context.app.config.resources.users_table()?.to_owned(),
    };
    let fresh = Progress { of: work, ..Progress::default() };
    let progress = if context.manner.dry_run {
        fresh
    } else {
        let progress = resume(&checkpoint, fresh)?;
        rewind(&command.file, &rejected, progress)?
    };
    let now = Instant::now();
    let run = Run {
        context,
        store: context.store()?,
        defaults,
        progress,
        reasons: BTreeMap::new(),
        rejected,
        checkpoint,
        started: now,
        told: now,
        units: 0,
        records_of_run: 0,
    };
    let mut records = records(command.format, &command.file, context.now, run.progress.records);
    let first = records.recv().await;
    // Before anything is written: the file is none of this format.
    if let Some(Read::Failed(reason)) = &first
        && run.progress.records == 0
    {
        return Err(format!("{}: {reason}", command.file.display()).into());
    }
    let records = Records { first, rest: records };
    if context.manner.dry_run {
        return run.check(records).await;
    }
    let what = format!("{} of {}", command.format.name(), file_name(&command.file));
    let change =
        context.change("import", what, Some(format!("from record {}", run.progress.records.saturating_add(1))));
    run.store.record(&change.await?).await?;
    run.write(records, command.units_per_second).await
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The SHA-256 of a file's content, in hexadecimal.
fn sha256(file: &Path) -> std::io::Result<String> {
    let mut file = BufReader::new(File::open(file)?);
    let mut hasher = Sha256::new();
    loop {
        let part = file.fill_buf()?;
        if part.is_empty() {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(part);
        let length = part.len();
        file.consume(length);
    }
}

impl Work {
    /// What another run has that this one has not.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("another format", self.format != other.format),
            ("other content of the file", self.file_sha256 != other.file_sha256),
            ("another --organization", self.organization != other.organization),
            ("another --proven-on", self.proven_on != other.proven_on),
            ("another users table", self.users_table != other.users_table),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// The progress of an earlier run of the same work.
fn resume(checkpoint: &Path, fresh: Progress) -> Result<Progress, Failure> {
    let text = match std::fs::read_to_string(checkpoint) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(fresh),
        Err(error) => return Err(format!("{}: {error}", checkpoint.display()).into()),
    };
    let name = checkpoint.display();
    let remove = "remove it to import this file from its start";
    let found: Progress =
        serde_json::from_str(&text).map_err(|_| format!("{name} is no checkpoint of this version: {remove}"))?;
    let differences = found.of.differences(&fresh.of);
    if differences.is_empty() {
        return Ok(found);
    }
    Err(format!("{name} is of a run with {}: repeat that run, or {remove}", differences.join(", ")).into())
}

/// Takes back what a run that was killed rejected after its checkpoint: it is rejected again. A fresh run begins anew.
fn rewind(file: &Path, rejected: &Path, progress: Progress) -> Result<Progress, Failure> {
    let name = rejected.display();
    if file.canonicalize().ok() == rejected.canonicalize().ok() {
        return Err(format!("--rejected: {name} is what is imported").into());
    }
    let truncate = || {
        let file = OpenOptions::new().write(true).open(rejected)?;
        let length = file.metadata()?.len().min(progress.rejected_bytes);
        file.set_len(length).map(|()| length)
    };
    match truncate() {
        Ok(rejected_bytes) => Ok(Progress { rejected_bytes, ..progress }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Progress { rejected_bytes: 0, ..progress }),
        Err(error) => Err(format!("{name}: {error}").into()),
    }
}

/// What comes from the file.
enum Read {
    Record(Box<Record>),
    /// The file can't be read further.
    Failed(String),
}

/// What is left of the file.
struct Records {
    /// Read already, to see whether the file can be read.
    first: Option<Read>,
    rest: Receiver<Read>,
}

impl Records {
    async fn next(&mut self) -> Option<Read> {
        match self.first.take() {
            Some(first) => Some(first),
            None => self.rest.recv().await,
        }
    }
}

/// Reads the records after the first ones, on a thread of its own.
fn records(format: Format, file: &Path, now: Timestamp, skipped: u64) -> Receiver<Read> {
    let (sender, receiver) = channel(WAITING);
    let file = file.to_owned();
    spawn_blocking(move || {
        let mut left_to_skip = skipped;
        let mut each = |record| {
            if left_to_skip > 0 {
                left_to_skip = left_to_skip.saturating_sub(1);
                return Ok(());
            }
            sender.blocking_send(Read::Record(Box::new(record))).map_err(|_| Enough)
        };
        if let Err(reason) = read(format, &file, now, &mut each) {
            let _ = sender.blocking_send(Read::Failed(reason));
        }
    });
    receiver
}

impl Run<'_> {
    /// Up to so many records. The second value is why there are no more, if that is not the file's end.
    async fn batch(&self, records: &mut Records, most: usize) -> (Vec<Result<User, String>>, Option<String>) {
        let mut batch = Vec::new();
        while batch.len() < most {
            match records.next().await {
                Some(Read::Record(record)) => batch.push((*record).and_then(|named| {
                    let user = named.line.user(&named.origin, &self.defaults, &self.context.app.numbering_plan);
                    user.map_err(|invalid| invalid.to_string())
                })),
                Some(Read::Failed(reason)) => return (batch, Some(reason)),
                None => break,
            }
        }
        (batch, None)
    }

    async fn write(mut self, mut records: Records, units_per_second: u64) -> Result<Report, Failure> {
        let most =
            usize::try_from(units_per_second / BATCHES_IN_SECOND / USUAL_UNITS).unwrap_or(usize::MAX).clamp(1, 256);
        let mut pace = Pace::new(units_per_second);
        loop {
            let (batch, failed) = self.batch(&mut records, most).await;
            if batch.is_empty() && failed.is_none() {
                break;
            }
            let before = self.units;
            self.write_batch(batch).await?;
            self.save()?;
            if let Some(reason) = failed {
                return Err(format!("after record {}: {reason}", self.progress.records).into());
            }
            self.tell();
            pace.keep(self.units.saturating_sub(before)).await;
        }
        let _ = std::fs::remove_file(&self.checkpoint);
        Ok(self.report("imported"))
    }

    /// Writes users at the same time, but of those with the same id, number or username one after the other, so that the
    /// earlier record of the file is the one that stays.
    async fn write_batch(&mut self, batch: Vec<Result<User, String>>) -> Result<(), Failure> {
        let first = self.progress.records.saturating_add(1);
        let size = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let mut rejections = Vec::new();
        let mut running: JoinSet<(u64, Result<ImportOutcome, Failure>)> = JoinSet::new();
        let mut names_of_running: HashMap<u64, Vec<u64>> = HashMap::new();
        for (number, user) in (first..).zip(batch) {
            match user {
                Err(reason) => rejections.push((number, reason)),
                Ok(user) => {
                    self.units = self.units.saturating_add(import_units(&user));
                    let names = names(&user);
                    let is_one_of = |names_of_other: &Vec<u64>| names.iter().any(|name| names_of_other.contains(name));
                    while running.len() >= AT_ONCE || names_of_running.values().any(is_one_of) {
                        let Some(done) = running.join_next().await else { break };
                        names_of_running.remove(&self.note(done, &mut rejections)?);
                    }
                    names_of_running.insert(number, names);
                    let (store, now) = (self.store.clone(), self.context.now);
                    running.spawn(async move { (number, store.import_user(&user, now).await.map_err(Failure::from)) });
                }
            }
        }
        while let Some(done) = running.join_next().await {
            self.note(done, &mut rejections)?;
        }
        self.progress.records = self.progress.records.saturating_add(size);
        self.records_of_run = self.records_of_run.saturating_add(size);
        self.reject(rejections)
    }

    /// Returns the number of the record.
    fn note(
        &mut self,
        done: Result<(u64, Result<ImportOutcome, Failure>), tokio::task::JoinError>,
        rejections: &mut Vec<(u64, String)>,
    ) -> Result<u64, Failure> {
        let (number, outcome) = done.map_err(|error| error.to_string())?;
        match outcome? {
            ImportOutcome::Written => self.progress.written = self.progress.written.saturating_add(1),
            ImportOutcome::AlreadyThere => self.progress.already_there = self.progress.already_there.saturating_add(1),
            ImportOutcome::NumberTaken => rejections.push((number, NUMBER_TAKEN.to_owned())),
            ImportOutcome::UsernameTaken => rejections.push((number, USERNAME_TAKEN.to_owned())),
        }
        Ok(number)
    }

    /// Notes records that are not imported: their places in the file and the reasons, and nothing of their values.
    fn reject(&mut self, mut rejections: Vec<(u64, String)>) -> Result<(), Failure> {
        if rejections.is_empty() {
            return Ok(());
        }
        rejections.sort();
        let mut lines = String::new();
        for (number, reason) in rejections {
            let _ = writeln!(lines, "{}", json!({"record": number, "reason": reason}));
            self.progress.rejected = self.progress.rejected.saturating_add(1);
            let rejected = self.reasons.entry(reason).or_default();
            rejected.count = rejected.count.saturating_add(1);
            if rejected.first.len() < SHOWN_PLACES {
                rejected.first.push(number);
            }
        }
        if self.context.manner.dry_run {
            return Ok(());
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.rejected);
        let written = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        written.map_err(|error| format!("{}: {error}", self.rejected.display()))?;
        let length = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.progress.rejected_bytes = self.progress.rejected_bytes.saturating_add(length);
        Ok(())
    }

    /// Replaces the checkpoint as a whole, so that a run that is killed leaves the one or the other.
    fn save(&mut self) -> Result<(), Failure> {
        let progress =
            Progress { write_units: self.progress.write_units.saturating_add(self.units), ..self.progress.clone() };
        let next = self.checkpoint.with_extension("checkpoint-next");
        let text = json!(progress).to_string();
        let saved = std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, &self.checkpoint));
        saved.map_err(|error| format!("{}: {error}", self.checkpoint.display()).into())
    }

    fn tell(&mut self) {
        if self.told.elapsed() < TOLD_EVERY {
            return;
        }
        self.told = Instant::now();
        let seconds = self.started.elapsed().as_secs().max(1);
        let rate = self.records_of_run.checked_div(seconds).unwrap_or_default();
        let Progress { records, written, already_there, rejected, .. } = &self.progress;
        let _ = writeln!(
            std::io::stderr(),
            "{records} records: {written} imported, {already_there} there already, {rejected} rejected; {rate} a second"
        );
    }

    /// Says what an import would do, and writes nothing.
    async fn check(mut self, mut records: Records) -> Result<Report, Failure> {
        let mut seen = HashSet::new();
        loop {
            let (batch, failed) = self.batch(&mut records, USERS_IN_BATCH).await;
            if batch.is_empty() && failed.is_none() {
                break;
            }
            let first = self.progress.records.saturating_add(1);
            let users: Vec<&User> = batch.iter().filter_map(|user| user.as_ref().ok()).collect();
            let mut outcomes = match users.is_empty() {
                true => Vec::new(),
                false => self.store.check_import(&users, self.context.now).await?,
            }
            .into_iter();
            let mut rejections = Vec::new();
            for (number, user) in (first..).zip(&batch) {
                let user = match user {
                    Ok(user) => user,
                    Err(reason) => {
                        rejections.push((number, reason.clone()));
                        continue;
                    }
                };
                match outcomes.next() {
                    Some(ImportOutcome::NumberTaken) => rejections.push((number, NUMBER_TAKEN.to_owned())),
                    Some(ImportOutcome::UsernameTaken) => rejections.push((number, USERNAME_TAKEN.to_owned())),
                    Some(ImportOutcome::AlreadyThere) => {
                        self.progress.already_there = self.progress.already_there.saturating_add(1);
                    }
                    _ if !is_first(&mut seen, user) => rejections.push((number, TWICE.to_owned())),
                    _ => {
                        self.progress.written = self.progress.written.saturating_add(1);
                        self.units = self.units.saturating_add(import_units(user));
                    }
                }
            }
            self.progress.records =
                self.progress.records.saturating_add(u64::try_from(batch.len()).unwrap_or(u64::MAX));
            self.reject(rejections)?;
            self.tell();
            if let Some(reason) = failed {
                return Err(format!("after record {}: {reason}", self.progress.records).into());
            }
        }
        Ok(self.report("would be imported"))
    }

    fn report(&self, done: &str) -> Report {
        let Progress { records, written, already_there, rejected, write_units, .. } = &self.progress;
        let units = write_units.saturating_add(self.units);
        let mut text = fields(&[
            ("records", records.to_string()),
            (done, written.to_string()),
            ("there already", already_there.to_string()),
            ("rejected", rejected.to_string()),
            ("write units", format!("about {units}")),
        ]);
        for (reason, rejected) in &self.reasons {
            let _ = writeln!(text, "- {} rejected: {reason} ({})", rejected.count, rejected.places());
        }
        if !self.context.manner.dry_run && *rejected > 0 {
            let _ = writeln!(text, "{} has their places in the file.", self.rejected.display());
        }
        let counts: BTreeMap<&String, u64> =
            self.reasons.iter().map(|(reason, rejected)| (reason, rejected.count)).collect();
        let places: BTreeMap<&String, &Vec<u64>> =
            self.reasons.iter().map(|(reason, rejected)| (reason, &rejected.first)).collect();
        let json = json!({
            "dry_run": self.context.manner.dry_run, "records": records, "imported": written,
            "already_there": already_there, "rejected": rejected, "reasons": counts, "first_places": places,
            "write_units": units,
        });
        Report { is_bad: *rejected > 0, ..Report::new(text, json) }
    }
}

impl Rejected {
    /// Such as "records 2, 5 and others".
    fn places(&self) -> String {
        let places: Vec<String> = self.first.iter().map(u64::to_string).collect();
        let word = if self.count == 1 { "record" } else { "records" };
        let others = if self.count > places.len() as u64 { " and others" } else { "" };
        format!("{word} {}{others}", places.join(", "))
    }
}

const NUMBER_TAKEN: &str = "another user has the number, or it is kept for one";
const USERNAME_TAKEN: &str = "another user has the username, or it is kept for one";
const TWICE: &str = "an earlier record of the file has the same id, number or username";

/// What only one user can have: the id, the number and the username. Digests, so that memory holds millions.
fn names(user: &User) -> Vec<u64> {
    let digest = |name: &str| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish()
    };
    let phone = user.phone.as_ref().map(|phone| digest(phone.e164()));
    let username = user.username.as_ref().map(|username| digest(&username.folded()));
    [digest(user.id.as_str())].into_iter().chain(phone).chain(username).collect()
}

/// Whether no earlier user of the file has the id, the number or the username.
fn is_first(seen: &mut HashSet<u64>, user: &User) -> bool {
    let names = names(user);
    let is_first = names.iter().all(|name| !seen.contains(name));
    if is_first {
        seen.extend(names);
    }
    is_first
}
