//! What two lists of lines differ in.

/// The lines of both in order: ` ` in both, `-` only in the first, `+` only in the second.
pub(crate) fn difference(first: &[String], second: &[String]) -> Vec<String> {
    let common = common_lengths(first, second);
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < first.len() || j < second.len() {
        if i < first.len() && j < second.len() && first[i] == second[j] {
            lines.push(format!("  {}", first[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == second.len() || i < first.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(format!("- {}", first[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", second[j]));
            j += 1;
        }
    }
    lines
}

/// Length of the longest common subsequence of what follows each pair of places.
fn common_lengths(first: &[String], second: &[String]) -> Vec<Vec<usize>> {
    let mut lengths = vec![vec![0; second.len() + 1]; first.len() + 1];
    for i in (0..first.len()).rev() {
        for j in (0..second.len()).rev() {
            lengths[i][j] = if first[i] == second[j] {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    lengths
}

#[test]
fn lines_of_one_side_are_told_from_common_ones() {
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let found = difference(&lines("a b c"), &lines("a x c d"));
    assert_eq!(found, ["  a", "- b", "+ x", "  c", "+ d"]);
}
