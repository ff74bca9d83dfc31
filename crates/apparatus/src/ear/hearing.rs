//! Where the packets of a command line are heard, and what becomes of them.

use std::collections::HashSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use evidence::{Outcome, ServerAddr, Unreadable, WireRecord};
use http::Uri;
use netlab::NetworkSettings;
use packets::{Overwrite, PcapFile, PcapFileError, PcapWriter};
use transport::TlsKeys;

use super::EarError;
use crate::cli::PacketArgs;
use crate::{InterfaceWitness, Plan, WireWitness, pcap, with_causes};

/// Set for a process that is to find out whether there can be a private network, and nothing else.
const PROBE: &str = "KEEP_ALIVE_LAB_PROBE";
/// The end of such a process's word if there can be one.
const CAN_BE_HAD: &str = "a private network can be had";

/// The ear of a command line: who hears the packets of its run, and the file that they go to.
#[derive(Debug)]
pub struct PacketEar {
    witness: Option<Arc<InterfaceWitness>>,
    file: Option<(PathBuf, PcapFile)>,
    notes: Vec<String>,
}

impl PacketEar {
    /// Prepares what `args` ask for, and lets the run of `plan` be heard. If its server is the run's
    /// own, this process moves into a private network, where one can be had; otherwise only the
    /// run's port is heard.
    ///
    /// Call it before any runtime is built: only a process of one thread can leave its network.
    ///
    /// # Errors
    /// If the file that is asked for cannot be written.
    pub fn prepare(args: &PacketArgs, plan: &mut Plan) -> Result<Self, EarError> {
        let server = &plan.setup.server;
        let url = (!server.in_process).then_some(server.url.as_str());
        let ear = Self::prepare_for(args, plan.setup.program.name(), &[], url, false)?;
        plan.wire = ear.witness.clone().map(|it| it as Arc<dyn WireWitness>);
        Ok(ear)
    }

    /// The same for a run of `program` that has no plan, toward the server of `url`; without one its
    /// server is its own. `command` are the words of the command that takes `--packets`. Where TLS is
    /// spoken packets are heard as a whole: what begins in one is told anywhere in it.
    ///
    /// # Errors
    /// Those of [`Self::prepare`].
    pub fn prepare_for(
        args: &PacketArgs,
        program: &str,
        command: &[&str],
        url: Option<&str>,
        speaks_tls: bool,
    ) -> Result<Self, EarError> {
        if std::env::var_os(PROBE).is_some() {
            return Err(EarError::Probed(match netlab::enter(&NetworkSettings::default()) {
                Ok(_) => CAN_BE_HAD.to_owned(),
                Err(error) => with_causes(&error),
            }));
        }
        let mut ear = Self { witness: None, file: None, notes: Vec::new() };
        if !args.are_heard() {
            return Ok(ear);
        }
        if let Some(path) = &args.pcap {
            ear.file = Some((path.clone(), PcapFile::create(path, overwrite(args))?));
        }
        let witness = match url {
            None => Some(ear.at_home(program, command)),
            Some(url) => ear.toward(url),
        };
        let whole = ear.file.is_some() || speaks_tls;
        ear.witness = witness.map(|it| Arc::new(if whole { it.whole() } else { it }));
        Ok(ear)
    }

    /// Adds to what is to be said before the run.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Begins to hear a run that has no plan, and began at `start`.
    pub fn begin(&self, start: Instant, servers: &[ServerAddr]) {
        if let Some(witness) = &self.witness {
            // It never fails: a refusal is told in the end.
            let _ = witness.begin(start, servers);
        }
    }

    /// Ends the hearing of a run that has no plan, and returns what was heard of connections to
    /// `servers`; `None` if nobody was to hear it.
    #[must_use]
    pub fn record(&self, servers: &HashSet<ServerAddr>) -> Option<Result<WireRecord, Unreadable>> {
        let witness = self.witness.as_ref()?;
        Some(witness.end(servers).map_err(|error| Unreadable(with_causes(&error))))
    }

    /// Returns what is to be said before the run: why packets are heard otherwise than one would
    /// expect.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A run whose server is its own: in a private network, if there can be one.
    fn at_home(&mut self, program: &str, command: &[&str]) -> InterfaceWitness {
        // Whoever is refused half-way is in a network of no use: so another process tries it.
        let entered = match probe(program, command) {
            Ok(()) => netlab::enter(&NetworkSettings::default()).map_err(|it| with_causes(&it)),
            Err(why) => Err(why),
        };
        match entered {
            Ok(network) => {
                if let Err(error) = network.as_on_a_wire() {
                    self.notes.push(with_causes(&error));
                }
                InterfaceWitness::private()
            }
            Err(why) => {
                self.notes.push(format!("in the machine's own network: {why}"));
                InterfaceWitness::machine()
            }
        }
    }

    /// A run toward another's server: on the interface that leads there.
    fn toward(&mut self, url: &str) -> Option<InterfaceWitness> {
        let witness = || -> Result<InterfaceWitness, String> {
            let server = address(url)?;
            let interface = packets::interface_toward(server).map_err(|it| it.to_string())?;
            Ok(InterfaceWitness::toward(&interface, server.port()))
        };
        let witness = witness();
        if let Err(why) = &witness {
            self.notes.push(format!("no packets: cannot tell which interface they pass: {why}"));
        }
        witness.ok()
    }

    /// Writes the file that was asked for, whole or not at all. Returns its path.
    ///
    /// # Errors
    /// If nothing was heard, or the disk does not take it.
    pub fn keep(self, outcome: &Outcome) -> Result<Option<PathBuf>, EarError> {
        let story = pcap::story(outcome);
        let kept = self.keep_with(&story, &TlsKeys::default(), outcome)?;
        Ok(kept.map(|kept| kept.path))
    }

    /// The same, with another story of the run, and with those of `keys` that are of connections in
    /// the file. With any, it is for its owner alone.
    ///
    /// # Errors
    /// Those of [`Self::keep`].
    pub fn keep_with(
        self,
        story: &str,
        keys: &TlsKeys,
        outcome: &Outcome,
    ) -> Result<Option<PacketFile>, EarError> {
        let Some((path, file)) = self.file else { return Ok(None) };
        let recording = self.witness.and_then(|witness| witness.take_recording());
        let Some(recording) = recording else { return Err(EarError::NothingHeard { path }) };
        let keys = pcap::keys_of(&recording, keys);
        let has_keys = !keys.is_empty();
        if has_keys {
            file.for_its_owner_alone()?;
        }
        let write = || {
            let mut writer = PcapWriter::begin(file, &pcap::section(story))?;
            pcap::write(&mut writer, &recording, &keys, outcome)?;
            writer.finish()
        };
        match write() {
            Ok(file) => file.keep()?,
            Err(source) => return Err(PcapFileError::Keep { path, source }.into()),
        }
        Ok(Some(PacketFile { path, has_keys }))
    }
}

/// The file that packets were written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketFile {
    /// Its path.
    pub path: PathBuf,
    /// True if it holds keys of TLS: whoever has it reads what the connections carried.
    pub has_keys: bool,
}

/// Returns what becomes of a file that is there already.
#[must_use]
pub(crate) fn overwrite(args: &PacketArgs) -> Overwrite {
    if args.force { Overwrite::Replace } else { Overwrite::Never }
}

/// Lets a child find out whether there can be a private network; the error says why not.
fn probe(program: &str, command: &[&str]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot start a child to try it: {error}");
    let this = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(this);
    let child = child.args(command).arg("--packets").env(PROBE, "1").stdin(Stdio::null()).output();
    let told = String::from_utf8_lossy(&child.map_err(failed)?.stderr).trim().to_owned();
    match told.strip_prefix(program).and_then(|told| told.strip_prefix(": ")) {
        Some(CAN_BE_HAD) => Ok(()),
        Some(why) => Err(why.to_owned()),
        None => Err(told),
    }
}

/// The address of the server of `url`; of several the first.
fn address(url: &str) -> Result<SocketAddr, String> {
    let url: Uri = url.parse().map_err(|_| "it is no URL".to_owned())?;
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let mut all = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    all.next().ok_or_else(|| format!("{host} has no address"))
}
