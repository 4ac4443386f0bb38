/** Another empty field for an answer as soon as the last one is used. */
const box = document.getElementById("answers");
box?.addEventListener("input", () => {
  const fields = box.querySelectorAll("textarea");
  const last = fields[fields.length - 1];
  if (!last.value.trim()) return;
  const next = last.cloneNode();
  next.value = "";
  next.setAttribute("aria-label", `Right answer ${fields.length + 1}`);
  box.append(next);
});
