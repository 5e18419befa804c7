"""Multiple-choice questions, from a row to an answer: question, prompt, letters, logits."""
