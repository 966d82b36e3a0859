// On a small screen a stacked table is a list, in which each cell is told with the head of its column.
document.querySelectorAll(".stacked td:not(:first-child)").forEach(cell => {
  cell.dataset.column = cell.closest("table").rows[0].cells[cell.cellIndex].textContent
})
