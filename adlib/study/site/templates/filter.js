// The scoreboard's filters hide rows, those without a number of ours too; without this script all stand there.
const form = document.getElementById("filters");
const rest = document.getElementById("without");
const table = document.getElementById("with-ours");
const rows = [...document.querySelectorAll("#with-ours tbody tr, #without-ours tbody tr")].map((row) => ({
  row, ...row.dataset, text: row.textContent.toLowerCase(), ours: !rest?.contains(row),
}));
const show = () => {
  const wanted = Object.fromEntries(new FormData(form));
  const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  const agrees = (one, name) => !wanted[name] || one[name] === wanted[name];
  let ours = 0, others = 0;
  for (const one of rows) {
    const shown = ["paper", "verdict", "profile"].every((name) => agrees(one, name)) && words.every((word) => one.text.includes(word));
    one.row.hidden = !shown;
    if (shown && one.ours) ours += 1;
    if (shown && !one.ours) others += 1;
  }
  if (table) table.closest(".scroll").hidden = ours === 0;
  const all = Object.values(wanted).every((value) => !value);
  if (rest && !all) rest.open = others > 0;
  document.getElementById("shown").textContent = `${ours} with a number of ours, ${others} without one.`;
};
form.hidden = false;
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(() => { if (rest) rest.open = false; show(); }));
show();
