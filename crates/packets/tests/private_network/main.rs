//! Packets, heard in private networks that a real kernel makes.
//!
//! A process enters such a network for good and must have one thread. So each test is a child: this
//! very program, started again with the name of the test, which enters and then does what the test
//! says.

#[cfg(target_os = "linux")]
mod capture;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod runner;
#[cfg(target_os = "linux")]
mod scenes;
#[cfg(target_os = "linux")]
mod states;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    runner::run(&[capture::ALL, files::ALL, states::ALL])
}

#[cfg(not(target_os = "linux"))]
fn main() {
    let setup = packets::CaptureSetup::on("lo0");
    let refusal = packets::Capture::start(&setup, std::time::Instant::now()).unwrap_err();
    eprintln!("SKIPPED: every test of packets in a private network: {refusal}");
}
