//! Requests of a script: their method and fields, and how many of them the servers have read.

use super::*;

fn script(steps: &str, expect: &str) -> String {
    format!(
        "question = 'What is sent?'\ntransports = ['go', 'hyper-util']\n\
         [workload]\nkind = 'script'\nsteps = [{steps}]\n\
         [[predict]]\n{expect}\nbecause = 'it says so'\n"
    )
}

#[test]
fn a_request_has_the_method_that_it_says_and_post_only_if_it_says_none() {
    let directory = tempfile::tempdir().unwrap();
    let steps = "{ request = { path = '/echo', post = 'a' } }, \
        { request = { path = '/echo', method = 'PUT', post = 'a' } }, \
        { request = { path = '/upload', method = 'PUT', post = 'a' } }, \
        { request = { path = '/json', method = 'PUT', post = 'a' } }, \
        { request = { path = '/echo', method = 'DELETE' } }, \
        { request = { path = '/echo', method = 'HEAD', fields = { X-Seen = 'yes' } } }";
    let expect = "expect.status_405 = 2\nexpect.served = 6\nexpect.failed = 0\nexpect.opened = 1";
    let (code, value) = json(&[&own(&directory, &script(steps, expect))]);
    assert_eq!(code, 0, "{value:#}");
}

#[test]
fn a_request_that_is_sent_again_is_served_twice_if_its_answer_was_lost() {
    if no_private_network().is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let cable = "[network]\nhosts = 2\n\
        cable = [{ from = 'server', data = true, nth = 2, do = 'reset' }]\n[workload]";
    let served = |request: &str, served: u32, failed: u32| {
        let steps = format!("{{ request = {{}} }}, {{ request = {request} }}");
        let expect = format!("expect.served = {served}\nexpect.failed = {failed}");
        let source = script(&steps, &expect)
            .replace("[workload]", cable)
            .replace("['go', 'hyper-util']", "['go']");
        let (_, value) = json(&[&own(&directory, &source)]);
        let run = &value["experiments"][0]["runs"][0];
        assert!(run["verdict"] == "held" || run["verdict"] == "skipped", "{run:#}");
    };
    served("{}", 3, 0);
    served("{ post = 'a' }", 2, 1);
    served("{ post = 'a', fields = { Idempotency-Key = '1' } }", 3, 0);
}

#[test]
fn what_is_no_method_and_no_field_is_refused_with_what_is_known() {
    let directory = tempfile::tempdir().unwrap();
    for (request, why) in [
        ("{ method = 'put' }", "method `put`; known are GET, HEAD, POST, PUT, DELETE"),
        ("{ fields = { 'A B' = 'c' } }", "fields: `A B: c` is no field of a head"),
        ("{ fields = { A = \"b\\nc\" } }", "is no field of a head"),
    ] {
        let source = script(&format!("{{ request = {request} }}"), "expect.failed = 0");
        let output = lab(&["run", &own(&directory, &source)]);
        assert_eq!(output.status.code(), Some(2));
        let told = text(&output.stderr);
        assert!(told.contains(why), "{told}");
    }
}
