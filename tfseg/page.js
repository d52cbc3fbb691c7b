// Sorts a table by the column whose head is pressed.
for (const button of document.querySelectorAll(".classes button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, column = head.cellIndex, body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && column === 0);
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.v;
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (column === 0) return x.localeCompare(y);
      return x - y;
    };
    // What is not defined comes last, whatever the direction.
    const rows = [...body.rows], known = rows.filter((r) => value(r) !== ""), rest = rows.filter((r) => value(r) === "");
    known.sort((a, b) => (up ? order(a, b) : order(b, a)));
    body.append(...known, ...rest);
  });
}
