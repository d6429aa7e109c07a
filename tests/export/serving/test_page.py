"""The page in a real browser."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.export.serving.parrot import AFTER, BEFORE, TITLE

CHROMIUM, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason='needs chromium and chromium-driver, as Debian has them'
)


@pytest.fixture(scope='module')
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # A sandbox needs rights that a container has not.
    for argument in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--window-size=360,640'):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, parrot_server):
    browser.get(parrot_server.url)
    browser.get_log('browser')  # those before
    # The page puts the focus there by itself, in its own time.
    WebDriverWait(browser, 60).until(lambda page: page.switch_to.active_element.get_attribute('id') == 'question')
    return browser


def ask(page, question):
    """Types into what has the focus, and presses Enter."""
    page.switch_to.active_element.send_keys(question + Keys.ENTER)
    WebDriverWait(page, 60).until(lambda page: page.find_elements(By.TAG_NAME, 'mark'))


def test_the_answer_is_marked_in_its_passage(page):
    ask(page, 'Who asks?')
    details = page.find_elements(By.TAG_NAME, 'details')
    assert [one.get_attribute('open') is not None for one in details] == [True, False]
    assert details[0].find_element(By.TAG_NAME, 'mark').text == 'Who asks?'
    summary = details[0].find_element(By.TAG_NAME, 'summary').text
    assert 'Who asks?' in summary and '70.0 %' in summary
    assert 'score 1.00' in details[0].text and ' ms by version 1' in page.find_element(By.TAG_NAME, 'footer').text
    assert page.find_element(By.ID, 'question').get_attribute('value') == 'Who asks?'


def test_what_a_passage_holds_does_not_run(page):
    ask(page, '<img src=x onerror="document.title=1">')
    assert page.title == '<img src=x onerror="document.title=1"> – REALM'
    passage = page.find_element(By.TAG_NAME, 'p').text
    assert passage == f'{BEFORE}<img src=x onerror="document.title=1">{AFTER}'.strip()
    assert not page.find_elements(By.TAG_NAME, 'img')
    assert TITLE in page.find_element(By.TAG_NAME, 'small').text


def test_all_of_it_by_the_keyboard(page):
    ask(page, 'first')
    page.find_element(By.TAG_NAME, 'body').send_keys('/')
    assert page.switch_to.active_element.get_attribute('id') == 'question'
    # The text is selected: typing replaces it.
    ask(page, 'second')
    WebDriverWait(page, 60).until(lambda page: page.find_element(By.TAG_NAME, 'mark').text == 'second')
    page.execute_script('document.querySelectorAll("summary")[1].focus()')
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.find_elements(By.TAG_NAME, 'details')[1].get_attribute('open') is not None


def test_an_empty_question_is_not_sent_and_one_of_blanks_is_told(page, parrot_server):
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert 'question=' not in page.current_url
    page.switch_to.active_element.send_keys('  ' + Keys.ENTER)
    alert = WebDriverWait(page, 60).until(lambda page: page.find_element(By.CSS_SELECTOR, '[role=alert]'))
    assert alert.text == 'The question is empty.'


def test_it_fits_a_phone(page):
    ask(page, 'word ' * 50 + 'x' * 300)
    assert page.execute_script('return document.documentElement.scrollWidth <= window.innerWidth')
    assert not page.get_log('browser'), 'the browser complains'
