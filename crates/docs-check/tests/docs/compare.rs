//! What a page says against what a program prints.

use std::fmt;

use crate::normal::normal_lines;

/// A line that stands for any number of lines.
const ANY: &str = "...";

/// Where the page and the program part.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Which line of the block's output is the first that the program does not print.
    pub(crate) at: usize,
    page: Vec<String>,
    program: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (who, lines) in [("page", &self.page), ("program", &self.program)] {
            writeln!(f, "  the {who} says")?;
            match lines.as_slice() {
                [] => writeln!(f, "    (nothing more)")?,
                lines => lines.iter().take(4).try_for_each(|line| writeln!(f, "    {line}"))?,
            }
        }
        Ok(())
    }
}

/// Holds the lines of a page against those of a program.
pub(crate) fn compare(page: &[String], program: &[String]) -> Result<(), Difference> {
    let (wanted, printed) = (normal_lines(page), normal_lines(program));
    // How far the page can be followed, whatever its `...` stand for. `reached[p]`: the lines of
    // the page so far can end just before line `p` of the program.
    let mut reached = vec![false; printed.len() + 1];
    reached[0] = true;
    for (at, line) in wanted.iter().enumerate() {
        let next = step(line, &reached, &printed);
        if !next.contains(&true) {
            let from = reached.iter().position(|&r| r).unwrap_or(0);
            return Err(Difference {
                at,
                page: page[at..].to_vec(),
                program: program[from..].to_vec(),
            });
        }
        reached = next;
    }
    if reached[printed.len()] {
        return Ok(());
    }
    let from = reached.iter().position(|&r| r).unwrap_or(0);
    Err(Difference { at: page.len(), page: Vec::new(), program: program[from..].to_vec() })
}

fn step(line: &str, reached: &[bool], printed: &[String]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    for from in (0..reached.len()).filter(|&p| reached[p]) {
        if line == ANY {
            next[from..].fill(true);
            break;
        }
        if printed.get(from).is_some_and(|printed| printed == line) {
            next[from + 1] = true;
        }
    }
    next
}

/// The block's lines made new from a real run: what the page left out stays left out.
///
/// Lines that are still true are found again, in their order; between two of them a `...` keeps
/// its place, and changed lines around it are taken over one for one.
pub(crate) fn renew(page: &[String], program: &[String]) -> Vec<String> {
    let mut renewed = Vec::new();
    let (mut p, mut q) = (0, 0);
    for (old, new) in common(page, program).into_iter().chain([(page.len(), program.len())]) {
        fill(&page[p..old], &program[q..new], &mut renewed);
        renewed.extend(program.get(new).cloned());
        (p, q) = (old + 1, new + 1);
    }
    renewed
}

/// One stretch between two lines that are still true.
fn fill(page: &[String], program: &[String], renewed: &mut Vec<String>) {
    let first = page.iter().position(|line| line == ANY);
    let last = page.iter().rposition(|line| line == ANY);
    let (Some(before), Some(last)) = (first, last) else {
        return renewed.extend_from_slice(program);
    };
    let after = page.len() - 1 - last;
    if before + after >= program.len() && !program.is_empty() {
        return renewed.extend_from_slice(program);
    }
    renewed.extend_from_slice(&program[..before.min(program.len())]);
    renewed.push(ANY.into());
    renewed.extend_from_slice(&program[program.len().saturating_sub(after)..]);
}

/// The longest sequence of lines that both have, as pairs of indices.
fn common(page: &[String], program: &[String]) -> Vec<(usize, usize)> {
    let (a, b) = (normal_lines(page), normal_lines(program));
    let same = |i: usize, j: usize| a[i] == b[j] && page[i] != ANY;
    let mut longest = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = match same(i, j) {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        if same(i, j) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if longest[i + 1][j] >= longest[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn dots_stand_for_any_number_of_lines() {
        let program = lines("a/b/c/b/d");
        for page in
            ["a/b/c/b/d", "...", "a/...", ".../d", "a/.../b/d", ".../c/...", "a/b/.../c/b/d"]
        {
            assert!(compare(&lines(page), &program).is_ok(), "{page}");
        }
    }

    #[test]
    fn a_difference_names_the_first_line_that_is_not_printed() {
        let program = lines("a/b/c");
        for (page, at) in [("a/x/c", 1), ("a/b", 2), ("a/.../x", 2), ("a/b/c/d", 3), ("b/c", 0)] {
            assert_eq!(compare(&lines(page), &program).unwrap_err().at, at, "{page}");
        }
    }

    #[test]
    fn a_renewed_block_is_true_and_leaves_out_what_was_left_out() {
        for (page, program, renewed) in [
            ("a/.../d", "a/b/c/d", "a/.../d"),
            ("a/.../x", "a/b/c/d", "a/.../d"),
            ("a/x/d", "a/b/c/d", "a/b/c/d"),
            ("x/.../d", "a/b/c/d", "a/.../d"),
        ] {
            let program = lines(program);
            let new = renew(&lines(page), &program);
            assert_eq!(new, lines(renewed), "{page}");
            assert!(compare(&new, &program).is_ok());
        }
    }
}
