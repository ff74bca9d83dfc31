//! A profile that lets AppArmor allow private networks to one program, and to no other.

use std::path::Path;

use anyhow::Context;

/// The name of the profile, and of its file.
const NAME: &str = "keep-alive-lab";

/// Returns the profile for the program at this path, with the commands that load it as comments.
///
/// # Errors
/// If the path cannot be written into a profile.
pub(crate) fn profile(program: &Path) -> anyhow::Result<String> {
    let path = program.to_str().filter(|path| !path.chars().any(char::is_control));
    let path = path.with_context(|| {
        format!("the path of this program cannot be written into a profile: {}", program.display())
    })?;
    let shell = quoted_for_shell(path);
    let attachment = quoted(path);
    Ok(format!(
        "\
# Lets the program at this path make user namespaces, and so private networks, and
# confines it in no other way. Whoever may replace that file may do so, too.
#
# Load it with:
#   {shell} doctor --apparmor | sudo tee /etc/apparmor.d/{NAME}
#   sudo apparmor_parser -r /etc/apparmor.d/{NAME}

abi <abi/4.0>,
include <tunables/global>

profile {NAME} {attachment} flags=(unconfined) {{
  userns,
}}
"
    ))
}

/// The path in quotes, in which what would be a pattern stands for itself.
fn quoted(path: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in path.chars() {
        if matches!(letter, '"' | '\\' | '*' | '?' | '[' | ']' | '{' | '}' | '^' | '@') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// The path as a word of a shell.
fn quoted_for_shell(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(is_plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_names_this_program_alone_and_the_two_commands_that_load_it() {
        insta::assert_snapshot!(profile(Path::new("/usr/local/bin/lab")).unwrap(), @r#"
        # Lets the program at this path make user namespaces, and so private networks, and
        # confines it in no other way. Whoever may replace that file may do so, too.
        #
        # Load it with:
        #   /usr/local/bin/lab doctor --apparmor | sudo tee /etc/apparmor.d/keep-alive-lab
        #   sudo apparmor_parser -r /etc/apparmor.d/keep-alive-lab

        abi <abi/4.0>,
        include <tunables/global>

        profile keep-alive-lab "/usr/local/bin/lab" flags=(unconfined) {
          userns,
        }
        "#);
    }

    #[test]
    fn a_path_with_odd_letters_stands_for_itself() {
        let told = profile(Path::new("/home/a b/[x]{y}*'/lab")).unwrap();
        assert!(told.contains(r#""/home/a b/\[x\]\{y\}\*'/lab""#), "{told}");
        assert!(told.contains(r"'/home/a b/[x]{y}*'\''/lab' doctor --apparmor"), "{told}");
        assert!(profile(Path::new("/a\n/lab")).is_err());
    }
}
