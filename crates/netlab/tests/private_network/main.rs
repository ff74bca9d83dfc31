//! Private networks, made by a real kernel.
//!
//! A process enters for good and must have one thread. So each test starts this very program again
//! as a child that plays a role (`inside.rs`) and reports what it saw; the test judges the report.
//! That takes a `main` of its own (`runner.rs`): the usual harness has several threads.

#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(target_os = "linux")]
mod inside;
#[cfg(target_os = "linux")]
mod runner;
#[cfg(target_os = "linux")]
mod tests;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    match inside::role() {
        Some(role) => inside::play(&role),
        None => {
            let verdict = runner::run(tests::ALL);
            child::clean_up();
            verdict
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    let refusal = netlab::enter(&netlab::NetworkSettings::default()).unwrap_err().to_string();
    assert!(refusal.contains("not Linux"), "{refusal}");
    eprintln!("SKIPPED: every test of a private network: {refusal}");
}
