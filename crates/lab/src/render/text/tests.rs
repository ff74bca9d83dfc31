//! Tables of results on pages of every width.

use report::page::PageWriter;

use super::*;

/// Rows as wide as the lab's own experiments have them.
fn rows() -> Vec<[Cell; COLUMNS]> {
    let row = |case: &str, transport: &str, what: &str| {
        [case, transport, what, "7 to 12", "1234", "witnesses disagree", ""].map(Cell::new)
    };
    vec![
        row("64 KiB, and closed", "hyper-util", "after.client.time_wait + closed.by_client"),
        row("", "", "kernel.TcpExtTCPTimeWaitOverflow"),
        row("none", "real-go", "opened"),
    ]
}

fn written(width: usize) -> String {
    let titles = ["CASE", "TRANSPORT", "WHAT", "PREDICTED", "OBSERVED", "HELD", "TIME"];
    let mut page = PageWriter::new(Vec::new(), width);
    fitted(titles.map(Cell::new), rows(), (&[2, 5], &[]), &mut page).unwrap();
    let mut plain = anstream::StripStream::new(Vec::new());
    std::io::Write::write_all(&mut plain, &page.into_inner()).unwrap();
    String::from_utf8(plain.into_inner()).unwrap()
}

#[test]
fn on_a_narrow_page_cases_stand_above_their_rows() {
    insta::assert_snapshot!(written(60), @r"
    TRANSPORT   WHAT           PREDICTED  OBSERVED  HELD
    64 KiB, and closed
    hyper-util  after.client.  7 to 12    1234      witnesses
                  time_wait +                         disagree
                  closed.by_
                  client
                kernel.TcpExt  7 to 12    1234      witnesses
                  TCPTimeWait                         disagree
                  Overflow
    none
    real-go     opened         7 to 12    1234      witnesses
                                                      disagree
    ");
}

#[test]
fn nothing_is_cut_however_narrow_the_page() {
    for width in 60..=200 {
        let shown = written(width);
        let longest = shown.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width, "{width}: {shown}");
        // What is broken goes on below, indented.
        let joined = shown.split_whitespace().collect::<String>();
        for whole in ["hyper-util", "7to12", "real-go", "none"] {
            assert!(joined.contains(whole), "{width}: {whole} in {shown}");
        }
    }
}
