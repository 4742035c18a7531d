//! What two programs showed: made alike where they may differ, and compared line by line.

/// The answers of one connection as lines, without what differs from one run, or one program, to the next.
///
/// Also, for each answer, how many bytes evenkeel's page is longer than nginx's would be.
pub(super) fn answers(bytes: &[u8]) -> (Vec<String>, Vec<usize>) {
    let text = show(bytes);
    let mut starts: Vec<usize> = text.match_indices("HTTP/1.1 ").map(|(at, _)| at).collect();
    starts.retain(|at| *at > 0);
    let (mut lines, mut longer) = (Vec::new(), Vec::new());
    let mut from = 0;
    for to in starts.into_iter().chain([text.len()]) {
        longer.push(answer(&text[from..to], &mut lines));
        from = to;
    }
    (lines, longer)
}

fn answer(text: &str, lines: &mut Vec<String>) -> usize {
    const OURS: &str = "<hr><center>evenkeel</center>";
    let longer = if text.contains(OURS) { "evenkeel".len() - "nginx".len() } else { 0 };
    let text = text.replace(OURS, "<hr><center>nginx</center>");
    lines.extend(text.split('\n').map(|line| {
        if line.starts_with("Date: ") {
            "Date: NOW".to_owned()
        } else if line.starts_with("Server: ") {
            line.replace("evenkeel", "nginx").split('/').next().unwrap_or_default().to_owned()
        } else if let Some(length) = line.strip_prefix("Content-Length: ").filter(|_| longer > 0) {
            format!("Content-Length: {}", length.parse::<usize>().map_or(0, |n| n.saturating_sub(longer)))
        } else {
            line.to_owned()
        }
    }));
    longer
}

/// Line ends are not shown, other controls are.
pub(super) fn show(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    text.chars()
        .map(|c| match c {
            '\n' => "\n".to_owned(),
            c if c.is_control() => format!("\\x{:02x}", c as u32),
            c => c.to_string(),
        })
        .collect()
}

/// Lines that only one has, in order.
pub(super) fn difference(left: &[String], right: &[String]) -> (Vec<String>, Vec<String>) {
    // Lengths of the longest common subsequences of what is left of each.
    let mut common = vec![vec![0usize; right.len() + 1]; left.len() + 1];
    for l in (0..left.len()).rev() {
        for r in (0..right.len()).rev() {
            common[l][r] = match left[l] == right[r] {
                true => common[l + 1][r + 1] + 1,
                false => common[l + 1][r].max(common[l][r + 1]),
            };
        }
    }
    let (mut only_left, mut only_right) = (Vec::new(), Vec::new());
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() && left[l] == right[r] {
            l += 1;
            r += 1;
        } else if r == right.len() || (l < left.len() && common[l + 1][r] >= common[l][r + 1]) {
            only_left.push(left[l].clone());
            l += 1;
        } else {
            only_right.push(right[r].clone());
            r += 1;
        }
    }
    (only_left, only_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_found_and_nothing_else() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (left, right) = difference(&lines("a b c d"), &lines("a x c d e"));
        assert_eq!((left, right), (lines("b"), lines("x e")));
    }

    #[test]
    fn a_page_of_ours_counts_as_one_of_nginxs() {
        let page =
            b"HTTP/1.1 404 Not Found\r\nServer: evenkeel/1\r\nContent-Length: 20\r\n\r\n<hr><center>evenkeel</center>";
        let (lines, longer) = answers(page);
        assert_eq!(longer, [3]);
        assert_eq!(lines[1..3], ["Server: nginx", "Content-Length: 17"]);
    }
}
