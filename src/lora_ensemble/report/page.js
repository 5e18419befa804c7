for (const slider of document.querySelectorAll(".slider")) {
  const input = slider.querySelector("input");
  const mark = slider.querySelector(".over > i");
  const bodies = slider.querySelectorAll("tbody");
  const show = () => {
    bodies.forEach((body, i) => { body.hidden = i !== Number(input.value); });
    const seen = bodies[Number(input.value)];
    slider.querySelector("output").textContent = seen.dataset.value;
    input.setAttribute("aria-valuetext", seen.dataset.value);
    if (mark) mark.style.left = seen.dataset.left + "%";
  };
  input.addEventListener("input", show);
  slider.classList.add("live");
  show();
}
