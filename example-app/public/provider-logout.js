/* global document */
// The user has just pressed "Log out" at the board: no need to ask again.
document.getElementById('leave').click()
